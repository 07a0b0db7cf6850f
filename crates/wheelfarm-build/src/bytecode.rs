//! Byte code of a tree's modules, compiled by the cell's Python in its bare runtime. No code of a package is run.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use wheelfarm_resolve::module_of;
use wheelfarm_store::Store;
use wheelfarm_types::PythonVersion;

use crate::action::{Action, Executor, Exit, Limits, LogSink};
use crate::environment::Environments;
use crate::error::{JobError, JobErrorKind};
use crate::matrix::Cell;

const COMPILE_PY: &str = include_str!("scripts/compile_tree.py");
/// The first Python whose byte code is the same in every run: 3.9's depends on what was in memory before.
const REPRODUCIBLE: (u8, u8) = (3, 10);
/// So much of the log is told of a compilation that failed, in lines.
const TAIL: usize = 20;

/// Modules that are to be compiled.
#[derive(Debug, Clone)]
pub struct BytecodeRequest<'a> {
    /// Which Python compiles, and where.
    pub cell: &'a Cell,
    /// The modules, by path in the tree.
    pub modules: BTreeMap<String, Bytes>,
    /// Where the tree will lie: what code says where it comes from.
    pub prefix: &'a Path,
}

/// Where it is compiled.
#[derive(Clone, Copy)]
pub struct Compilation<'a> {
    /// Runs the cell's Python.
    pub executor: &'a dyn Executor,
    /// Has the cell's runtime.
    pub environments: &'a dyn Environments,
    /// Takes the modules, as one blob that nothing refers to.
    pub store: &'a Store,
    /// What it may use.
    pub limits: &'a Limits,
    /// Cancels it.
    pub cancel: &'a CancellationToken,
}

/// Refuses a Python whose byte code is not the same in every run.
pub fn check(python: PythonVersion) -> Result<(), JobError> {
    if (python.major, python.minor) >= REPRODUCIBLE {
        return Ok(());
    }
    let message = format!("the byte code of Python {python} differs from run to run");
    let hint = "compile where the tree is used: `python -m compileall -q --invalidation-mode unchecked-hash DIR`";
    let error = JobError::new(JobErrorKind::Request, message);
    Err(error.with_hint(Some(hint.to_owned())))
}

/// Compiles the modules: `.pyc` files by path in the tree, which Python uses without looking at the modules' times or
/// content (`unchecked-hash` of [PEP 552](https://peps.python.org/pep-0552/)). Equal modules give equal bytes. What is no
/// Python is left out, and said to `log`.
pub async fn compile(
    compilation: Compilation<'_>,
    request: &BytecodeRequest<'_>,
    log: LogSink,
) -> Result<BTreeMap<String, Bytes>, JobError> {
    let cell = request.cell;
    check(cell.python)?;
    let Compilation {
        executor,
        environments,
        store,
        limits,
        cancel,
    } = compilation;
    let archive = pack(&request.modules)?;
    let runtime = environments.runtime(&cell.image).await?;
    let mut inputs = BTreeMap::new();
    for (name, content) in [
        ("modules.tar", Bytes::from(archive)),
        ("compile_tree.py", COMPILE_PY.into()),
    ] {
        inputs.insert(name.to_owned(), store.put(content).await?);
    }
    let action = Action {
        name: format!("compile {}", cell.id()),
        image: runtime.id,
        inputs,
        tools: BTreeMap::new(),
        trees: cell.image.trees(cell.python),
        // Isolated: nothing but the standard library is imported.
        command: vec![
            cell.image.interpreter(cell.python).display().to_string(),
            "-I".to_owned(),
            "-S".to_owned(),
            "-B".to_owned(),
            "/in/compile_tree.py".to_owned(),
            request.prefix.display().to_string(),
        ],
        environment: [("LC_ALL", "C.UTF-8"), ("PYTHONHASHSEED", "0")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        network: false,
        keep_failed: false,
        compiler_cache: None,
        cores: None,
        limits: limits.clone(),
    };
    let result = executor.run(&action, log.into(), cancel).await?;
    let output = result.outputs.get("bytecode.tar");
    let (Exit::Code(0), Some(output)) = (result.exit, output) else {
        let text = String::from_utf8_lossy(&result.log).into_owned();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let message = format!("the modules for {} could not be compiled", cell.id());
        let mut error = JobError::new(JobErrorKind::Machine, message);
        error.tail = lines.iter().rev().take(TAIL).rev().cloned().collect();
        return Err(error);
    };
    unpack(output, &request.modules).map_err(|reason| {
        let message = format!("the byte code for {} was refused: {reason}", cell.id());
        JobError::new(JobErrorKind::Machine, message)
    })
}

fn pack(modules: &BTreeMap<String, Bytes>) -> Result<Vec<u8>, JobError> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in modules {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        builder.append_data(&mut header, path, content.as_ref())?;
    }
    Ok(builder.into_inner()?)
}

/// The compiled modules, each beside the module that it is of.
fn unpack(
    archive: &[u8],
    modules: &BTreeMap<String, Bytes>,
) -> Result<BTreeMap<String, Bytes>, String> {
    let broken = |error: io::Error| format!("its archive is broken: {error}");
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?;
        let path = path.to_str().unwrap_or_default().to_owned();
        if !module_of(&path).is_some_and(|source| modules.contains_key(&source)) {
            return Err(format!("`{}` belongs to no module", path.escape_debug()));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        files.insert(path, content.into());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_code_belongs_to_a_module() {
        let module = |path| module_of(path);
        let expected = Some("a/b.c.py".to_owned());
        assert_eq!(module("a/__pycache__/b.c.cpython-311.pyc"), expected);
        let expected = Some("b.py".to_owned());
        assert_eq!(module("__pycache__/b.cpython-313t.pyc"), expected);
        for path in ["b.pyc", "a/b.cpython-311.pyc", "__pycache__/b.pyc", "x", ""] {
            assert_eq!(module_of(path), None, "{path}");
        }
    }

    #[test]
    fn only_byte_code_of_the_modules_is_taken() {
        let modules = |path: &str| BTreeMap::from([(path.to_owned(), Bytes::from("code"))]);
        let archive = pack(&modules("a/__pycache__/b.cpython-311.pyc")).unwrap();
        assert_eq!(unpack(&archive, &modules("a/b.py")).unwrap().len(), 1);
        assert!(unpack(&archive, &modules("a/c.py")).is_err());
        assert!(unpack(&archive[..600], &modules("a/b.py")).is_err());
        assert!(unpack(b"no archive", &modules("a/b.py")).is_err());
    }

    #[test]
    fn byte_code_that_is_never_the_same_is_refused() {
        assert!(check("3.9".parse().unwrap()).is_err());
        check("3.10".parse().unwrap()).unwrap();
        check("3.13t".parse().unwrap()).unwrap();
    }
}
