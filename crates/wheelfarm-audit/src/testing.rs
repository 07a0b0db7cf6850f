//! Wheels and libraries made in a temporary directory by the C compiler. Also used by `wheelfarm-repair`.

use std::path::PathBuf;
use std::process::Command;

use wheelfarm_types::Arch;
use wheelfarm_wheel::{Wheel, WheelWriter};

/// A directory to build in; `root` below it is the library root.
pub(crate) struct Lab {
    directory: tempfile::TempDir,
}

impl Lab {
    /// With a libc that has the symbols `base` (`GLIBC_2.17`) and `newest` (`GLIBC_2.36`), so that results do
    /// not depend on the machine's.
    pub(crate) fn new() -> Self {
        let lab = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        lab.write(
            "versions",
            "GLIBC_2.17 { global: base; }; GLIBC_2.36 { global: newest; };",
        );
        lab.compile(
            "stub/libc.so.6",
            "void base(void) {} void newest(void) {}",
            &[
                "-shared",
                "-Wl,-soname,libc.so.6",
                "-Wl,--version-script,versions",
            ],
        );
        fs_err::create_dir_all(lab.path("root")).unwrap();
        lab
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    /// Compiles without the machine's libraries, in the lab's directory.
    pub(crate) fn compile(&self, out: &str, source: &str, flags: &[&str]) {
        let file = format!("{out}.c");
        self.write(&file, source);
        let run = Command::new("gcc")
            .current_dir(self.directory.path())
            .args([
                "-nostdlib",
                "-fPIC",
                "-Wl,--no-as-needed",
                "-Wl,--disable-new-dtags",
                "-o",
                out,
            ])
            .arg(&file)
            .args(flags)
            .output()
            .unwrap();
        fs_err::remove_file(self.path(&file)).unwrap();
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
    }

    /// A library of the root: `root/opt/lib/libone.so.1.0` with the soname `libone.so.1` and a link of that
    /// name, defining `one`, using `base` of libc, and linked to `flags`.
    pub(crate) fn library(&self, name: &str, flags: &[&str]) {
        let file = format!("root/opt/lib/lib{name}.so.1.0");
        let soname = format!("-Wl,-soname,lib{name}.so.1");
        let source = format!("void base(void); void {name}(void) {{ base(); }}");
        let mut all = vec!["-shared", soname.as_str(), "stub/libc.so.6"];
        all.extend(flags);
        self.compile(&file, &source, &all);
        let link = self.path(&format!("root/opt/lib/lib{name}.so.1"));
        std::os::unix::fs::symlink(format!("lib{name}.so.1.0"), link).unwrap();
    }

    /// The usual root: `/opt/lib` with `libone`, which needs `libtwo`, is configured, and owned by a package.
    pub(crate) fn chain(&self) {
        self.library("two", &[]);
        self.library("one", &["root/opt/lib/libtwo.so.1"]);
        self.write("root/etc/ld.so.conf", "/opt/lib\n");
        self.write("root/etc/os-release", "ID=debian\nVERSION_ID=12\n");
        self.write("root/.wheelfarm/manager", "deb\n");
        self.write(
            "root/.wheelfarm/owners.tsv",
            "/opt/lib/libone.so.1.0\tlibone1\t1.0-1\tamd64\n",
        );
    }

    /// An extension module `_demo` that calls nothing but `base`, linked to `flags`.
    pub(crate) fn module(&self, flags: &[&str]) -> Vec<u8> {
        self.module_of(
            "void base(void); void *PyInit__demo(void) { base(); return 0; }",
            flags,
        )
    }

    /// An object of this source.
    pub(crate) fn module_of(&self, source: &str, flags: &[&str]) -> Vec<u8> {
        let mut all = vec!["-shared", "stub/libc.so.6"];
        all.extend(flags);
        self.compile("out.so", source, &all);
        fs_err::read(self.path("out.so")).unwrap()
    }

    /// A program linked to `flags`.
    #[allow(dead_code, reason = "only `wheelfarm-repair` makes programs")]
    pub(crate) fn program(&self, flags: &[&str]) -> Vec<u8> {
        let loader = "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2";
        let mut all = vec![
            "-pie",
            "stub/libc.so.6",
            loader,
            "-Wl,--allow-shlib-undefined",
        ];
        all.extend(flags);
        self.compile(
            "out",
            "void base(void); void _start(void) { base(); }",
            &all,
        );
        fs_err::read(self.path("out")).unwrap()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }
}

/// The machine's architecture: what the compiler makes.
pub(crate) fn arch() -> Arch {
    Arch::host().unwrap()
}

/// A wheel of these members. `platform` is completed by the architecture: `linux`, `manylinux_2_28`.
pub(crate) fn wheel(platform: &str, members: &[(&str, &[u8])]) -> Wheel {
    let tag = match platform {
        "any" => "any".to_owned(),
        platform => format!("{platform}_{}", arch()),
    };
    let mut writer = WheelWriter::new(format!("demo-1.0-cp311-cp311-{tag}.whl").parse().unwrap());
    let text = format!("Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-{tag}\n");
    writer
        .insert("demo-1.0.dist-info/WHEEL", text, false)
        .unwrap();
    for (name, content) in members {
        writer.insert(name, content.to_vec(), false).unwrap();
    }
    writer.finish_wheel().unwrap()
}
