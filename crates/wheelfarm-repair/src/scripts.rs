//! Programs in `.data/scripts`.
//!
//! The directory of scripts has no fixed way to site-packages, so such a program moves there, and a script in
//! its place starts it. The idea and the layout are auditwheel's; other tools expect them.

use crate::naming::file_name;

/// Where a program of `.data/scripts` goes: `<name>.scripts/<program>`.
pub(crate) fn destination(name: &str, member: &str) -> String {
    format!("{name}.scripts/{}", file_name(member))
}

/// A script that replaces itself by the program. Installers put their Python in place of `#!python`.
pub(crate) fn starter(program: &str) -> String {
    // JSON's escapes are also those of a Python string.
    let path = serde_json::Value::from(program);
    format!(
        "#!python\n\
         import os\n\
         import sys\n\
         import sysconfig\n\
         \n\
         program = os.path.join(sysconfig.get_path(\"platlib\"), {path})\n\
         os.execv(program, [program, *sys.argv[1:]])\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_started_from_platlib() {
        let place = destination("uWSGI", "uWSGI-2.0.data/scripts/uwsgi");
        assert_eq!(place, "uWSGI.scripts/uwsgi");
        let script = starter("x.scripts/a\"b");
        assert!(script.starts_with("#!python\n"));
        assert!(script.contains(r#""x.scripts/a\"b""#), "{script}");
    }
}
