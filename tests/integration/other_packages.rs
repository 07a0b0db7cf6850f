//! Other packages with C in them, from source.

use std::path::Path;

use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::bare::BareRuntime;
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::Farm;

use crate::support::needs_docker;

/// Each uses the library that its wheel brings.
const PROGRAM: &str = r#"
import cffi, yaml
from lxml import etree

assert yaml.load("a: [1, 2]", Loader=yaml.CSafeLoader) == {"a": [1, 2]}

ffi = cffi.FFI()
ffi.cdef("double sqrt(double);")
assert ffi.dlopen("libm.so.6").sqrt(4.0) == 2.0
@ffi.callback("int(int)")
def twice(number):
    return 2 * number
assert twice(21) == 42

style = etree.XML('<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform">'
                  '<x:template match="/"><b><x:value-of select="/a/@c"/></b></x:template></x:stylesheet>')
assert str(etree.XSLT(style)(etree.XML('<a c="d"/>'))).endswith("<b>d</b>\n")
print("all three work")
"#;

#[test]
fn lxml_pyyaml_and_cffi() {
    needs_docker!();
    let farm = Farm::sharing().unwrap();
    let report = farm
        .build([
            "lxml",
            "pyyaml",
            "cffi",
            "--from-source",
            "lxml,pyyaml,cffi",
            "--image",
            "debian-12",
        ])
        .unwrap()
        .success()
        .unwrap();
    let reference = AuditWheel::install().unwrap();
    for (project, libraries) in [
        ("lxml", &["libxml2.so", "libxslt.so", "libexslt.so"][..]),
        ("pyyaml", &["libyaml"]),
        ("cffi", &["libffi.so"]),
    ] {
        let wheel = report.wheel(project, "3.11").unwrap();
        assert_eq!(wheel.origin, "built", "{project}");
        reference.agrees(&wheel.path).unwrap();
        for library in libraries {
            let vendored = wheel
                .vendored
                .iter()
                .any(|vendored| vendored.soname.starts_with(library));
            assert!(
                vendored,
                "{library} is not in {}: {:?}",
                wheel.filename, wheel.vendored
            );
        }
        let proof = wheel.proof.as_ref().unwrap();
        assert!(
            !proof.imported.is_empty() && proof.failed.is_empty(),
            "{proof:?}"
        );
    }
    // cffi requires pycparser, which is pure: the index's own wheel.
    assert_eq!(report.wheel("pycparser", "3.11").unwrap().origin, "index");

    let wheels: Vec<&Path> = report
        .wheels
        .iter()
        .map(|wheel| wheel.path.as_path())
        .collect();
    let runtime = BareRuntime::of(&Engine::connect().unwrap(), "debian-12");
    let text = runtime.python(&wheels, PROGRAM, false).unwrap();
    assert_eq!(text.trim(), "all three work");
}
