//! Programs, whole files, and what different linkers make.

use super::*;

/// Collision with a grown program header table, `PT_PHDR` not covered: kernels hand programs the address of the
/// table (`AT_PHDR`), old ones as the first segment's distance plus `e_phoff`.
#[test]
fn programs_find_their_own_headers() {
    let source = "#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
int main(void) {
    const ElfW(Phdr) *header = (const void *)getauxval(AT_PHDR);
    unsigned long count = getauxval(AT_PHNUM), loads = 0, dynamic = 0;
    for (unsigned long i = 0; i < count; i++) {
        loads += header[i].p_type == PT_LOAD;
        dynamic += header[i].p_type == PT_DYNAMIC;
    }
    return dynamic == 1 ? loads : 99;
}";
    let fixture = Fixture::new();
    for (name, kind) in [
        ("pie", ["-pie", "-fPIE"]),
        ("fixed", ["-no-pie", "-fno-pie"]),
    ] {
        let whole = compile(&fixture, name, source, &kind);
        let bare = without_section_headers(&whole);
        for (program, kind) in [(whole, "whole"), (bare, "bare")] {
            let before = loads(&Elf::parse(&program).unwrap()).len();
            let edited = edit(&program, &rpath()).unwrap();
            let elf = Elf::parse(&edited).unwrap();
            let table = find(&elf, PT_PHDR).unwrap();
            assert_eq!(table.offset, elf.header().program_header_offset);
            assert_eq!(table.file_size, 56 * elf.segments().len() as u64);
            assert!(is_mapped(&elf, &table), "{name} {kind}: {table:?}");
            let first = *loads(&elf).first().unwrap();
            assert_eq!(
                table.address,
                first.address - first.offset + table.offset,
                "{name} {kind}"
            );
            let path = write_program(&fixture, &format!("{name}-{kind}"), &edited);
            assert_eq!(
                exit_code(&path),
                Some(i32::try_from(before + 1).unwrap()),
                "{name} {kind}"
            );
        }
    }
}

/// `PT_DYNAMIC` in a read-only segment, overlap with RELRO: loaders write to it.
#[test]
fn a_dynamic_section_that_moves_stays_writable() {
    let fixture = Fixture::new();
    let options = ["-Wl,--spare-dynamic-tags=0", "-Wl,-z,relro,-z,now"];
    let original = library(&fixture, "int answer(void) { return 42; }", &options);
    let edited = edit(&original, &renamed()).unwrap();
    let (old, new) = (Elf::parse(&original).unwrap(), Elf::parse(&edited).unwrap());
    let dynamic = find(&new, PT_DYNAMIC).unwrap();
    assert_ne!(
        dynamic.offset,
        find(&old, PT_DYNAMIC).unwrap().offset,
        "what this is about"
    );
    assert!(is_mapped(&new, &dynamic));
    let holder = loads(&new).into_iter().find(|load| {
        load.address <= dynamic.address && dynamic.address < load.address + load.memory_size
    });
    assert_ne!(holder.unwrap().flags & PF_W, 0);
    let relro = find(&new, 0x6474_e552).unwrap();
    assert!(dynamic.address >= relro.address + relro.memory_size);
    let path = fixture.write("edited.so", &edited);
    assert_eq!(call(&[], &path, "answer"), 42);
}

/// Data behind the end of the object, as self-extracting programs have: they look for it at the end of their file,
/// or where the object used to end.
#[test]
fn a_trailing_payload_stays_where_programs_look_for_it() {
    let source = "#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>
int main(int count, char **words) {
    char data[8];
    int file = open(\"/proc/self/exe\", O_RDONLY);
    if (lseek(file, -8, SEEK_END) < 0 || read(file, data, 8) != 8 || memcmp(data, \"PAYLOAD!\", 8)) return 1;
    if (lseek(file, atol(words[1]), SEEK_SET) < 0 || read(file, data, 8) != 8 || memcmp(data, \"+payload\", 8)) return 2;
    return 0;
}";
    let fixture = Fixture::new();
    let mut original = compile(&fixture, "program", source, &["-pie", "-fPIE"]);
    let place = original.len().to_string();
    original.extend_from_slice(b"+payload and more of it, up to the PAYLOAD!");
    let mut sizes = Vec::new();
    let mut bytes = original;
    for round in 0..5 {
        let path = write_program(&fixture, "edited", &bytes);
        let status = Command::new(path).arg(&place).status().unwrap();
        assert_eq!(status.code(), Some(0), "after {round} edits");
        let edits = Edits {
            rpath: RpathEdit::SetRpath(format!("$ORIGIN/../somewhere.libs/{round}")),
            ..Edits::default()
        };
        bytes = edit(&bytes, &edits).unwrap();
        sizes.push(bytes.len());
    }
    // It is not copied once more by every edit.
    assert!(
        sizes
            .windows(2)
            .all(|pair| pair.iter().max().unwrap() - pair.iter().min().unwrap() < 128),
        "{sizes:?}"
    );
}

/// Offsets beyond 2 GiB: the file is a hole, but this editor holds the whole of it.
#[test]
#[ignore = "needs 8 GB of memory"]
fn offsets_beyond_two_gigabytes() {
    let fixture = Fixture::new();
    let mut original = library(
        &fixture,
        "int answer(void) { return 42; }",
        &["-Wl,--spare-dynamic-tags=0"],
    );
    // As if a huge section lay before the section headers, which then end the file.
    let header = usize::try_from(
        Elf::parse(&original)
            .unwrap()
            .header()
            .section_header_offset,
    )
    .unwrap();
    let table = original.split_off(header);
    original.resize(5 << 29, 0);
    original.splice(0x28..0x30, (5u64 << 29).to_le_bytes());
    original.extend(table);
    let edited = edit(&original, &renamed()).unwrap();
    assert!(edited.len() - original.len() < 1024);
    drop(original);
    let elf = Elf::parse(&edited).unwrap();
    assert!(loads(&elf).last().unwrap().offset > 5 << 29);
    let path = fixture.write("edited.so", &edited);
    drop(edited);
    assert_eq!(call(&[], &path, "answer"), 42);
}

/// What other linkers lay out otherwise: no room in the dynamic section, headers in other orders, other paddings.
#[test]
fn objects_of_every_linker() {
    let fixture = Fixture::new();
    let mut tried = 0;
    for linker in ["bfd", "gold", "lld", "mold"] {
        let option = format!("-fuse-ld={linker}");
        let probe = Command::new("gcc")
            .args(["-shared", "-x", "c", "/dev/null", "-o"])
            .arg(fixture.path().join("probe"))
            .arg(&option)
            .output();
        if !probe.is_ok_and(|output| output.status.success()) {
            continue; // Not installed.
        }
        tried += 1;
        let original = library(
            &fixture,
            "int answer(void) { return 42; }",
            &[&option, "-Wl,-soname,libx.so"],
        );
        let edited = edit(&original, &renamed()).unwrap();
        assert_eq!(edit(&edited, &renamed()).unwrap(), edited, "{linker}");
        let path = fixture.write("edited.so", &edited);
        assert_eq!(call(&[], &path, "answer"), 42, "{linker}");
        run(Command::new("strip").arg(&path));
        assert_eq!(call(&[], &path, "answer"), 42, "{linker}");
        for kind in [["-pie", "-fPIE"], ["-no-pie", "-fno-pie"]] {
            let program = compile(
                &fixture,
                "program",
                "int main(void) { return 40; }",
                &[&kind[..], &[&option]].concat(),
            );
            let path = write_program(&fixture, "edited", &edit(&program, &rpath()).unwrap());
            assert_eq!(exit_code(&path), Some(40), "{linker} {kind:?}");
            run(Command::new("strip").arg(&path));
            assert_eq!(exit_code(&path), Some(40), "{linker} {kind:?} stripped");
        }
    }
    assert!(tried > 0, "gcc has one of them at least");
}

/// Separate debug files have a dynamic section in name only: nothing to edit, and nothing is guessed.
#[test]
fn debug_files_are_refused() {
    let fixture = Fixture::new();
    let path = fixture.compile(
        "libfixture.so",
        "int answer(void) { return 42; }",
        &["-shared", "-fPIC", "-g"],
    );
    let debug = fixture.path().join("debug");
    run(Command::new("objcopy")
        .arg("--only-keep-debug")
        .args([&path, &debug]));
    let bytes = fs_err::read(&debug).unwrap();
    assert!(Elf::parse(&bytes).map_or(true, |elf| elf.needed().is_empty()));
    assert!(edit(&bytes, &renamed()).is_err());
}
