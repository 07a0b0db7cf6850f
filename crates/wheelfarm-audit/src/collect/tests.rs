use super::*;
use crate::Obstacle;
use crate::testing::{Lab, arch, wheel};

const MODULE: &str = "demo/_demo.cpython-311-x86_64-linux-gnu.so";
const ONE: &str = "root/opt/lib/libone.so.1";

fn report(wheel: &Wheel, root: &LibraryRoot) -> AuditReport {
    audit(wheel, root, &AuditOptions::default()).unwrap()
}

fn root(lab: &Lab) -> LibraryRoot {
    LibraryRoot::open(&lab.root()).unwrap()
}

fn target(policy: &str) -> Option<Target> {
    format!("{policy}_{}", arch()).parse().ok()
}

fn found<'a>(report: &'a AuditReport, path: &str, soname: &str) -> &'a Found {
    let object = report
        .objects
        .iter()
        .find(|object| object.path == path)
        .unwrap();
    &object.libraries.get(soname).unwrap().found
}

#[test]
fn a_chain_of_libraries_is_followed() {
    let lab = Lab::new();
    lab.chain();
    let report = report(
        &wheel("linux", &[(MODULE, &lab.module(&[ONE]))]),
        &root(&lab),
    );
    assert_eq!(
        (report.arch, report.libc),
        (Some(arch()), Some(LibcFamily::Glibc))
    );
    assert_eq!(report.earned, target("manylinux_2_17"));
    assert_eq!(report.earned_without_grafting, None);
    let libraries: Vec<_> = report
        .external
        .iter()
        .map(|library| (library.soname.as_str(), library.path.as_deref()))
        .collect();
    assert_eq!(
        libraries,
        [
            ("libone.so.1", Some("/opt/lib/libone.so.1.0")),
            ("libtwo.so.1", Some("/opt/lib/libtwo.so.1.0")),
        ]
    );
    let owners: Vec<_> = report
        .external
        .iter()
        .map(|library| library.owner.as_ref().map(|owner| owner.name.as_str()))
        .collect();
    assert_eq!(owners, [Some("libone1"), None]);
    assert_eq!(report.extensions[0].name, "demo._demo");
    assert_eq!(report.findings, []);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["earned"], report.earned.unwrap().to_string());
}

#[test]
fn a_complete_wheel_needs_no_root() {
    let lab = Lab::new();
    let complete = wheel("manylinux_2_17", &[(MODULE, &lab.module(&[]))]);
    let report = report(&complete, &LibraryRoot::empty());
    assert_eq!(report.earned_without_grafting, target("manylinux_2_17"));
    assert_eq!(report.findings, []);
}

#[test]
fn versions_of_grafted_libraries_count() {
    let lab = Lab::new();
    let source = "void newest(void); void late(void) { newest(); }";
    let flags = ["-shared", "-Wl,-soname,liblate.so.1", "stub/libc.so.6"];
    lab.compile("root/usr/lib/liblate.so.1", source, &flags);
    let module = lab.module(&["root/usr/lib/liblate.so.1"]);
    let report = report(&wheel("linux", &[(MODULE, &module)]), &root(&lab));
    assert_eq!(report.earned, target("manylinux_2_36"));
    let verdict = report.verdict(target("manylinux_2_28").unwrap()).unwrap();
    assert_eq!(
        verdict.obstacles,
        [Obstacle::TooRecent {
            file: "/usr/lib/liblate.so.1".into(),
            library: "libc.so.6".into(),
            version: "GLIBC_2.36".into(),
            symbols: vec!["newest".into()],
        }]
    );
    let needs = &report.external[0].version_needs;
    assert_eq!(needs["libc.so.6"], ["GLIBC_2.36"]);
    // A target without a policy is judged by the next older one.
    let between = report.verdict(target("manylinux_2_30").unwrap()).unwrap();
    assert_eq!(Some(between.target), target("manylinux_2_28"));
}

#[test]
fn missing_and_excluded_libraries() {
    let lab = Lab::new();
    lab.chain();
    let module = lab.module(&[ONE]);
    fs_err::remove_file(lab.path("root/opt/lib/libtwo.so.1")).unwrap();
    let wheel = wheel("linux", &[(MODULE, &module)]);
    let missing = Finding::MissingLibrary {
        soname: "libtwo.so.1".into(),
        needed_by: vec![MODULE.into()],
    };
    assert_eq!(report(&wheel, &root(&lab)).findings, [missing]);
    for pattern in ["libone*", "/opt/lib/*"] {
        let options = AuditOptions {
            exclude: vec![pattern.into()],
            ..AuditOptions::default()
        };
        let report = audit(&wheel, &root(&lab), &options).unwrap();
        assert_eq!(report.external, [], "{pattern}");
        assert_eq!(report.earned_without_grafting, target("manylinux_2_17"));
    }
    let options = AuditOptions {
        exclude: vec!["lib[".into()],
        ..AuditOptions::default()
    };
    assert!(matches!(
        audit(&wheel, &root(&lab), &options),
        Err(AuditError::Exclude { .. })
    ));
}

#[test]
fn the_search_order_is_the_loaders() {
    let lab = Lab::new();
    lab.chain();
    lab.write("root/etc/ld.so.conf", "");
    for directory in ["/alt", "/path"] {
        let copy = lab.path(&format!("root{directory}"));
        fs_err::create_dir_all(&copy).unwrap();
        for name in ["one", "two"] {
            let file = lab.path(&format!("root/opt/lib/lib{name}.so.1.0"));
            fs_err::copy(file, copy.join(format!("lib{name}.so.1"))).unwrap();
        }
    }
    let rpath = lab.module(&[ONE, "-Wl,-rpath,/alt"]);
    let runpath = lab.module(&[ONE, "-Wl,--enable-new-dtags,-rpath,/alt"]);
    let at = |report: &AuditReport, soname| match found(report, MODULE, soname) {
        Found::Root(path) => path.clone(),
        other => format!("{other:?}"),
    };
    // RPATH serves the libraries below, RUNPATH only its own object.
    let inherited = report(&wheel("linux", &[(MODULE, &rpath)]), &root(&lab));
    assert_eq!(at(&inherited, "libtwo.so.1"), "/alt/libtwo.so.1");
    let own = report(&wheel("linux", &[(MODULE, &runpath)]), &root(&lab));
    assert_eq!(at(&own, "libone.so.1"), "/alt/libone.so.1");
    assert_eq!(at(&own, "libtwo.so.1"), "Missing");
    // LD_LIBRARY_PATH stands between the two.
    let environment = || root(&lab).with_ld_paths(vec!["/path".into()]);
    let before = report(&wheel("linux", &[(MODULE, &rpath)]), &environment());
    assert_eq!(at(&before, "libone.so.1"), "/alt/libone.so.1");
    let after = report(&wheel("linux", &[(MODULE, &runpath)]), &environment());
    assert_eq!(at(&after, "libone.so.1"), "/path/libone.so.1");
}

#[test]
fn origin_follows_the_installed_layout() {
    let lab = Lab::new();
    lab.chain();
    let module = lab.module(&[ONE, "-Wl,-rpath,$ORIGIN/../demo.libs"]);
    let one = fs_err::read(lab.path("root/opt/lib/libone.so.1.0")).unwrap();
    let two = fs_err::read(lab.path("root/opt/lib/libtwo.so.1.0")).unwrap();
    let spread = "demo-1.0.data/platlib/demo/_demo.so";
    let wheel = wheel(
        "linux",
        &[
            (spread, &module),
            ("demo.libs/libone.so.1", &one),
            ("demo.libs/libtwo.so.1", &two),
        ],
    );
    let report = report(&wheel, &LibraryRoot::empty());
    assert_eq!(
        found(&report, spread, "libone.so.1"),
        &Found::Wheel("demo.libs/libone.so.1".into())
    );
    // libone has no RPATH: what it needs is found where its user finds it.
    let below = found(&report, "demo.libs/libone.so.1", "libtwo.so.1");
    assert_eq!(below, &Found::Wheel("demo.libs/libtwo.so.1".into()));
    assert_eq!(report.earned_without_grafting, target("manylinux_2_17"));
}

#[test]
fn blacklisted_symbols_cost_the_tag_unless_weak() {
    let lab = Lab::new();
    lab.compile(
        "root/usr/lib/libz.so.1",
        "void _tr_init(void) {}",
        &["-shared", "-Wl,-soname,libz.so.1"],
    );
    for (attribute, obstacles) in [("", 1), ("__attribute__((weak))", 0)] {
        let source = format!(
            "void base(void); {attribute} void _tr_init(void); void *PyInit__demo(void) {{ base(); _tr_init(); return 0; }}"
        );
        let module = lab.module_of(&source, &["root/usr/lib/libz.so.1"]);
        let report = report(&wheel("linux", &[(MODULE, &module)]), &root(&lab));
        let verdict = report.verdicts.last().unwrap();
        assert_eq!(
            verdict.obstacles.len(),
            obstacles,
            "{:?}",
            verdict.obstacles
        );
        assert_eq!(report.earned.is_none(), obstacles > 0);
    }
}

#[test]
fn libpython_is_the_interpreters() {
    let lab = Lab::new();
    let soname = "libpython3.11.so.1.0";
    let flag = format!("-Wl,-soname,{soname}");
    lab.compile(
        "root/usr/lib/libpython3.11.so",
        "void py(void) {}",
        &["-shared", &flag],
    );
    let module = lab.module(&["root/usr/lib/libpython3.11.so"]);
    let report = report(&wheel("linux", &[(MODULE, &module)]), &root(&lab));
    assert!(report.external[0].libpython && report.external[0].path.is_none());
    assert_eq!(
        report.findings,
        [Finding::LinksLibpython {
            path: MODULE.into(),
            soname: soname.into(),
        }]
    );
}

#[test]
fn oddities_are_findings() {
    let lab = Lab::new();
    let module = lab.module(&["-Wl,-rpath,/build/lib"]);
    let mut foreign = module.clone();
    // e_machine: 8 is MIPS.
    foreign[18] = 8;
    let members = [
        (MODULE, module.as_slice()),
        ("demo/foreign.so", foreign.as_slice()),
        ("demo/broken.so", b"\x7fELF and no more"),
        ("demo-1.0.data/purelib/x.so", module.as_slice()),
    ];
    let report = report(&wheel("any", &members), &root(&lab));
    let expected = |finding| {
        assert!(
            report.findings.contains(&finding),
            "{finding:?} {:?}",
            report.findings
        );
    };
    expected(Finding::OtherArch {
        path: "demo/foreign.so".into(),
        arch: "ELF machine 8".into(),
    });
    expected(Finding::ElfInPurelib {
        path: "demo-1.0.data/purelib/x.so".into(),
    });
    expected(Finding::OutsideRpath {
        path: MODULE.into(),
        entry: "/build/lib".into(),
    });
    expected(Finding::UnearnedTag { tag: "any".into() });
    let unreadable = |finding: &Finding| matches!(finding, Finding::Unreadable { path, .. } if path == "demo/broken.so");
    assert!(report.findings.iter().any(unreadable));
    assert_eq!(
        report
            .objects
            .iter()
            .filter(|object| object.considered)
            .count(),
        2
    );
}

#[test]
fn false_tags_and_pure_wheels() {
    let lab = Lab::new();
    let module = lab.module(&[]);
    let claims = wheel("manylinux_2_5", &[(MODULE, &module)]);
    let tag = target("manylinux_2_5").unwrap().to_string();
    assert_eq!(
        report(&claims, &root(&lab)).findings,
        [Finding::UnearnedTag { tag }]
    );
    let pure = report(&wheel("any", &[("demo.py", b"")]), &root(&lab));
    assert!(pure.is_pure() && pure.earned.is_none() && pure.verdicts.is_empty());
    // Not the architecture of its name.
    let other = WheelName("demo-1.0-cp311-cp311-linux_mips64.whl").of(&module);
    assert_eq!(report(&other, &root(&lab)).arch, None);
}

struct WheelName(&'static str);

impl WheelName {
    fn of(&self, module: &[u8]) -> Wheel {
        let mut writer = wheelfarm_wheel::WheelWriter::new(self.0.parse().unwrap());
        writer.insert(MODULE, module.to_vec(), false).unwrap();
        writer.finish_wheel().unwrap()
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn instruction_sets_above_the_baseline_cost_the_tag() {
    let lab = Lab::new();
    let wheel = wheel("linux", &[(MODULE, &lab.module(&["-Wl,-z,x86-64-v3"]))]);
    let strict = report(&wheel, &root(&lab));
    assert_eq!((strict.earned, strict.objects[0].isa_level), (None, 3));
    let options = AuditOptions {
        isa_check: false,
        ..AuditOptions::default()
    };
    let report = audit(&wheel, &root(&lab), &options).unwrap();
    assert_eq!(report.earned, target("manylinux_2_17"));
}

#[test]
fn musl_is_judged_by_its_version() {
    let lab = Lab::new();
    let soname = format!("-Wl,-soname,{}", crate::policy::musl_soname(arch()));
    lab.compile("musl.so", "void m(void) {}", &["-shared", &soname]);
    let source = "void m(void); void *PyInit__demo(void) { m(); return 0; }";
    lab.compile("module.so", source, &["-shared", "musl.so"]);
    let module = fs_err::read(lab.path("module.so")).unwrap();
    let wheel = wheel("linux", &[("demo/_demo.so", &module)]);
    let mut options = AuditOptions::default();
    for (musl, policy) in [(None, "musllinux_1_2"), (Some((1, 1)), "musllinux_1_1")] {
        options.musl = musl;
        let report = audit(&wheel, &LibraryRoot::empty(), &options).unwrap();
        assert_eq!(
            (report.earned, report.libc),
            (target(policy), Some(LibcFamily::Musl))
        );
    }
    assert_eq!(musl_version("1.2.5-r0"), Some((1, 2)));
    // The machine at hand has another one than the wheel was built with: the wheel's name knows better.
    lab.write("root/etc/os-release", "ID=alpine\n");
    lab.write("root/.wheelfarm/manager", "apk\n");
    lab.write(
        "root/.wheelfarm/owners.tsv",
        "/lib/ld-musl.so.1\tmusl\t1.2.5-r0\tx86_64\n",
    );
    for platform in ["musllinux_1_1", "musllinux_1_2"] {
        let named = self::wheel(platform, &[("demo/_demo.so", &module)]);
        assert_eq!(report(&named, &root(&lab)).earned, target(platform));
    }
    assert_eq!(report(&wheel, &root(&lab)).earned, target("musllinux_1_2"));
}

#[test]
fn an_obstacle_names_every_symbol() {
    let lab = Lab::new();
    let names: Vec<String> = (0..9).map(|number| format!("late{number}")).collect();
    let each = |wrap: fn(&String) -> String| names.iter().map(wrap).collect::<Vec<_>>().concat();
    lab.write("late", "GLIBCXX_3.4.99 { late*; };");
    lab.compile(
        "stub/libstdc++.so.6",
        &each(|name| format!("void {name}(void) {{}} ")),
        &[
            "-shared",
            "-Wl,-soname,libstdc++.so.6",
            "-Wl,--version-script,late",
        ],
    );
    let source = format!(
        "{} void *PyInit__demo(void) {{ {} return 0; }}",
        each(|name| format!("void {name}(void); ")),
        each(|name| format!("{name}(); "))
    );
    let module = lab.module_of(&source, &["stub/libstdc++.so.6"]);
    let report = report(&wheel("linux", &[(MODULE, &module)]), &root(&lab));
    let [Obstacle::TooRecent { symbols, .. }] = report.verdicts[0].obstacles.as_slice() else {
        panic!("{:?}", report.verdicts[0]);
    };
    let mut symbols = symbols.clone();
    symbols.sort();
    assert_eq!(symbols, names);
}

#[test]
fn what_musl_has_only_since_1_2_costs_the_older_tag() {
    let lab = Lab::new();
    let soname = format!("-Wl,-soname,{}", crate::policy::musl_soname(arch()));
    lab.compile("musl.so", "void m(void) {}", &["-shared", &soname]);
    let uses =
        "void m(void); void gettid(void); void *PyInit__demo(void) { m(); gettid(); return 0; }";
    lab.compile("module.so", uses, &["-shared", "musl.so"]);
    let module = fs_err::read(lab.path("module.so")).unwrap();
    let claims = wheel("musllinux_1_1", &[(MODULE, &module)]);
    let judged = report(&claims, &LibraryRoot::empty());
    assert_eq!(judged.earned, target("musllinux_1_2"));
    let older = judged.verdict(target("musllinux_1_1").unwrap()).unwrap();
    assert_eq!(
        older.obstacles,
        [Obstacle::TooRecent {
            file: MODULE.into(),
            library: crate::policy::musl_soname(arch()).into(),
            version: "MUSL_1.2.2".into(),
            symbols: vec!["gettid".into()],
        }]
    );
    // Another object of the wheel has it.
    lab.compile("own.so", "void gettid(void) {}", &["-shared", "musl.so"]);
    let own = fs_err::read(lab.path("own.so")).unwrap();
    let complete = wheel("musllinux_1_1", &[(MODULE, &module), ("demo/own.so", &own)]);
    let judged = report(&complete, &LibraryRoot::empty());
    assert_eq!(judged.earned, target("musllinux_1_1"));
}

#[test]
fn a_librarys_own_tree() {
    let lab = Lab::new();
    lab.chain();
    let tree = crate::library_tree(
        &root(&lab),
        "/opt/lib/libone.so.1",
        &AuditOptions::default(),
    )
    .unwrap();
    let names: Vec<_> = tree.keys().map(String::as_str).collect();
    assert_eq!(names, ["libc.so.6", "libtwo.so.1"]);
    assert_eq!(tree["libc.so.6"].found, Found::Missing);
    assert!(crate::library_tree(&root(&lab), "/gone", &AuditOptions::default()).is_err());
}
