//! What happens while an object is loaded and runs.

use super::*;

/// `DT_INIT`, `DT_FINI`, constructors and destructors run after an edit, with their arguments.
#[test]
fn constructors_and_destructors_run() {
    let source = "#include <stdio.h>
#include <stdlib.h>
static int state = 1;
void old_init(void) { state *= 2; }
void old_fini(void) { fputs(\"fini \", stdout); fflush(stdout); }
__attribute__((constructor)) static void construct(void) { state += 20; }
__attribute__((destructor)) static void destruct(void) { fputs(\"destruct \", stdout); fflush(stdout); }
int main(void) { printf(\"%d \", state); return 0; }";
    let fixture = Fixture::new();
    let options = [
        "-Wl,-init,old_init",
        "-Wl,-fini,old_fini",
        "-Wl,--spare-dynamic-tags=0",
    ];
    for kind in [["-pie", "-fPIE"], ["-no-pie", "-fno-pie"]] {
        let original = compile(&fixture, "program", source, &[&kind[..], &options].concat());
        let says = |bytes: &[u8]| {
            let path = write_program(&fixture, "started", bytes);
            String::from_utf8(run(&mut Command::new(path)).stdout).unwrap()
        };
        let before = says(&original);
        assert_eq!(before, "22 destruct fini ");
        assert_eq!(says(&edit(&original, &rpath()).unwrap()), before);
    }
}

/// Hash tables of either kind, or both, with and without section headers.
#[test]
fn every_hash_style_is_looked_up() {
    let fixture = Fixture::new();
    let symbols: Vec<String> = (0..200)
        .map(|number| format!("int symbol_{number}(void) {{ return {number}; }}"))
        .collect();
    let symbols = symbols.join(
        "
",
    );
    for style in ["sysv", "gnu", "both"] {
        let whole = library(&fixture, &symbols, &[&format!("-Wl,--hash-style={style}")]);
        for original in [without_section_headers(&whole), whole] {
            let edited = edit(&original, &renamed()).unwrap();
            let path = fixture.write("edited.so", &edited);
            for number in [0, 1, 99, 199] {
                assert_eq!(call(&[], &path, &format!("symbol_{number}")), number);
            }
        }
    }
}

/// Thread-local data, and relative relocations packed as `DT_RELR`.
#[test]
fn thread_local_data_and_packed_relocations() {
    let source = "static __thread int counter = 40;
static int two = 2;
static int *const table[] = {&two, &two, &two, &two};
int answer(void) { return counter++ + *table[3]; }";
    let fixture = Fixture::new();
    for options in [
        &[][..],
        &["-Wl,-z,pack-relative-relocs"],
        &["-ftls-model=initial-exec"],
    ] {
        let original = library(&fixture, source, options);
        let relr = readelf("-d", &fixture.write("original.so", &original)).contains("(RELR)");
        assert_eq!(relr, options.iter().any(|option| option.contains("pack")));
        let path = fixture.write("edited.so", &edit(&original, &renamed()).unwrap());
        assert_eq!(call(&[], &path, "answer"), 42);
        run(Command::new("strip").arg(&path));
        assert_eq!(call(&[], &path, "answer"), 42);
    }
}

/// Unwinding through an edited library, by tables that another program header finds.
#[test]
fn unwinding_finds_its_tables() {
    let source = "#include <stddef.h>
#include <unwind.h>
static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *count) {
    *(int *)count += _Unwind_GetIP(context) != 0;
    return _URC_NO_REASON;
}
__attribute__((noinline)) static int deep(int level) {
    int count = 0;
    if (level) return deep(level - 1) + 0 * level;
    _Unwind_Backtrace(step, &count);
    return count > 5;
}
int answer(void) { return deep(8) ? 42 : 0; }";
    let fixture = Fixture::new();
    let options = ["-O0", "-fexceptions", "-lgcc_s", "-Wl,--eh-frame-hdr"];
    let original = library(&fixture, source, &options);
    let path = fixture.write("edited.so", &edit(&original, &renamed()).unwrap());
    assert_eq!(call(&[], &path, "answer"), 42);
}
