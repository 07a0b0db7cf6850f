//! The editor on the libraries of this machine: renamed, loaded, stripped, edited again.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Fixture, LIBRARIES, loadable, readelf, system_libraries};
use wheelfarm_elf::{Edits, Elf, RpathEdit, edit};

/// The name under which a dependency is found next to the edited libraries. The
/// loader itself keeps its name, which libc insists on.
fn alias(name: &str) -> String {
    if name.starts_with("ld-linux") || !Path::new(LIBRARIES).join(name).exists() {
        name.to_owned()
    } else {
        format!("renamed-{name}")
    }
}

/// Edits that a wheel repair makes: soname, every needed library, `DT_RPATH`.
fn edits(elf: &Elf<'_>) -> Edits {
    let needed = elf.needed().iter();
    let versions = elf.version_needs().iter().map(|need| &need.file);
    let names: BTreeSet<&str> = needed.chain(versions).copied().collect();
    Edits {
        soname: elf.soname().map(|name| format!("edited-{name}")),
        replace_needed: names
            .into_iter()
            .map(|name| (name.to_owned(), alias(name)))
            .collect(),
        rpath: RpathEdit::SetRpath("$ORIGIN".into()),
        ..Edits::default()
    }
}

/// Links every needed library of `elf` under its alias into `directory`.
fn link_dependencies(elf: &Elf<'_>, directory: &Path) {
    for name in elf.needed() {
        let link = directory.join(alias(name));
        if alias(name) != *name && !link.exists() {
            let target = Path::new(LIBRARIES).join(name);
            fs_err::os::unix::fs::symlink(target, &link).expect("a new link");
        }
    }
}

fn strip(path: &Path) -> Option<PathBuf> {
    let stripped = path.with_extension("stripped");
    let status = Command::new("strip")
        .arg("-o")
        .arg(&stripped)
        .arg(path)
        .output();
    let status = status.expect("these tests need binutils").status;
    status.success().then_some(stripped)
}

#[test]
fn edited_libraries_load_survive_strip_and_a_second_edit() {
    let fixture = Fixture::new();
    let originals = system_libraries(90);
    let baseline = loadable(&originals);
    let mut edited = Vec::new();
    let mut checked = Vec::new();
    for (original, loads) in originals.iter().zip(baseline) {
        let bytes = fs_err::read(original).unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        let result = edit(&bytes, &edits(&elf))
            .unwrap_or_else(|error| panic!("{}: {error}", original.display()));

        let new = Elf::parse(&result).unwrap();
        let aliases: Vec<String> = elf.needed().iter().map(|name| alias(name)).collect();
        assert_eq!(new.needed(), aliases, "{}", original.display());
        assert_eq!(new.rpath(), Some("$ORIGIN"));
        assert_eq!(
            new.header().program_header_offset,
            64,
            "{}",
            original.display()
        );
        let name = new.soname().unwrap().to_owned();
        let path = fixture.write(&name, &result);
        // Where a library needs a search path of its own (librados does), the one that is set takes its place.
        let has_path = elf.rpath().or(elf.runpath()).is_some();
        if loads && !has_path {
            link_dependencies(&elf, fixture.path());
            edited.push(path);
            checked.push(original.clone());
        }
    }
    assert!(
        edited.len() * 2 > originals.len(),
        "most libraries load by themselves"
    );
    for (path, loads) in edited.iter().zip(loadable(&edited)) {
        assert!(loads, "{} does not load", path.display());
    }

    // Stripped: those whose original survives it.
    let mut candidates = Vec::new();
    for (path, original) in edited.iter().zip(&checked) {
        let control = fixture.path().join("control");
        fs_err::copy(original, &control).unwrap();
        if let Some(control) = strip(&control)
            && loadable(&[control]) == [true]
        {
            let stripped = strip(path);
            assert!(stripped.is_some(), "strip refuses {}", path.display());
            candidates.extend(stripped);
        }
    }
    assert!(
        candidates.len() * 2 > edited.len(),
        "most libraries survive strip"
    );
    for (path, loads) in candidates.iter().zip(loadable(&candidates)) {
        assert!(loads, "{} does not load", path.display());
    }

    // Edited once more, before and after strip.
    let mut again = Vec::new();
    for path in edited.iter().chain(&candidates) {
        let bytes = fs_err::read(path).unwrap();
        let edits = Edits {
            soname: Some("edited-a-second-time.so".into()),
            rpath: RpathEdit::SetRunpath("$ORIGIN:$ORIGIN/lib".into()),
            ..Edits::default()
        };
        let result = edit(&bytes, &edits).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        again.push(fixture.write(&format!("again-{name}"), &result));
    }
    for (path, loads) in again.iter().zip(loadable(&again)) {
        assert!(loads, "{} does not load", path.display());
    }
}

#[test]
fn readelf_sees_the_edits_and_nothing_else() {
    let fixture = Fixture::new();
    for original in system_libraries(15) {
        let bytes = fs_err::read(&original).unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        let edits = edits(&elf);
        let path = fixture.write("edited.so", &edit(&bytes, &edits).unwrap());

        // Versions: the same but for the names, addresses and offsets.
        let lines = |path: &Path| -> Vec<String> {
            let kept = |line: &&str| line.contains("Name:") || line.contains("File:");
            let after = |line: &str| line.split_once(':').map(|(_, text)| text.to_owned());
            readelf("-V", path)
                .lines()
                .filter(kept)
                .filter_map(after)
                .collect()
        };
        let expected: Vec<String> = lines(&original)
            .into_iter()
            .map(|line| {
                let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
                for word in &mut words {
                    if let Some(new) = edits.replace_needed.get(word) {
                        word.clone_from(new);
                    }
                    if Some(word.as_str()) == elf.soname() && line.contains("Name:") {
                        *word = edits.soname.clone().unwrap();
                    }
                }
                words.join(" ")
            })
            .collect();
        assert_eq!(lines(&path), expected, "{}", original.display());

        // The dynamic section: the same tags, apart from the search path.
        let tags = |path: &Path| -> Vec<String> {
            let text = readelf("-d", path);
            let tags = text.lines().filter_map(|line| {
                let tag = line.split_once('(')?.1.split_once(')')?.0;
                Some(tag.to_owned())
            });
            let kept = |tag: &String| !matches!(tag.as_str(), "RPATH" | "RUNPATH" | "NULL");
            tags.filter(kept).collect()
        };
        assert_eq!(tags(&path), tags(&original), "{}", original.display());
        let dynamic = readelf("-d", &path);
        assert!(
            dynamic.contains("(RPATH)") && dynamic.contains("[$ORIGIN]"),
            "{dynamic}"
        );
        assert!(!dynamic.contains("(RUNPATH)"), "{dynamic}");
    }
}

#[test]
fn a_string_table_that_moves_leaves_zeros() {
    let path = system_libraries(1).remove(0);
    let bytes = fs_err::read(&path).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    let value = |elf: &Elf<'_>, tag| {
        let mut entries = elf.dynamic_entries().iter();
        entries.find(|entry| entry.tag == tag).unwrap().value
    };
    // DT_STRTAB and DT_STRSZ; the first segment of a library has its addresses as offsets.
    let (start, size) = (value(&elf, 5), value(&elf, 10));
    let old = usize::try_from(start).unwrap()..usize::try_from(start + size).unwrap();
    let soname = elf.soname().unwrap();
    assert!(String::from_utf8_lossy(&bytes[old.clone()]).contains(soname));
    let edited = edit(&bytes, &edits(&elf)).unwrap();
    assert!(value(&Elf::parse(&edited).unwrap(), 5) > start + size);
    assert!(edited[old].iter().all(|byte| *byte == 0));
}
