//! Platform tags of the repaired wheel.

use std::collections::BTreeSet;

use wheelfarm_types::{Tag, Target, WheelFilename};
use wheelfarm_wheel::WheelInfo;

/// The platform tags of the file name, sorted: the new ones, and those old ones that are still true.
///
/// `linux_*` says nothing that an index accepts, `any` is wrong for a wheel with ELF objects, and a tag for
/// older systems than `best` was disproved by the audit: none of them stays. What runs with `any_libc` keeps all of
/// its architecture.
pub(crate) fn platforms(
    source: &WheelFilename,
    best: Target,
    any_libc: bool,
    new: &[String],
) -> Vec<String> {
    let kept = source.platforms.iter().filter(|tag| {
        tag.parse::<Target>().is_ok_and(|target| {
            target.arch == best.arch && (any_libc || best.libc.runs_on(target.libc))
        })
    });
    let all: BTreeSet<&String> = kept.chain(new).collect();
    all.into_iter().cloned().collect()
}

/// The tags of `WHEEL`: every interpreter and ABI it had, on every platform it now has.
pub(crate) fn wheel_tags(
    info: &WheelInfo,
    source: &WheelFilename,
    platforms: &[String],
) -> Vec<Tag> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let listed = info.tags();
    let named = source.tags();
    let mut add = |tag: Tag| {
        let pair = (tag.python, tag.abi);
        if !pairs.contains(&pair) {
            pairs.push(pair);
        }
    };
    if listed.is_empty() {
        named.for_each(&mut add);
    } else {
        listed.into_iter().for_each(&mut add);
    }
    pairs
        .into_iter()
        .flat_map(|(python, abi)| {
            platforms.iter().map(move |platform| Tag {
                python: python.clone(),
                abi: abi.clone(),
                platform: platform.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_true_tags_stay() {
        let best: Target = "manylinux_2_17_x86_64".parse().unwrap();
        let new = [
            "manylinux_2_17_x86_64".to_owned(),
            "manylinux2014_x86_64".to_owned(),
        ];
        for (old, expected) in [
            ("linux_x86_64", "manylinux2014_x86_64.manylinux_2_17_x86_64"),
            ("any", "manylinux2014_x86_64.manylinux_2_17_x86_64"),
            (
                "manylinux1_x86_64",
                "manylinux2014_x86_64.manylinux_2_17_x86_64",
            ),
            (
                "manylinux_2_28_aarch64",
                "manylinux2014_x86_64.manylinux_2_17_x86_64",
            ),
            (
                "manylinux_2_28_x86_64",
                "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64",
            ),
        ] {
            let source = format!("x-1-cp311-cp311-{old}.whl").parse().unwrap();
            assert_eq!(
                platforms(&source, best, false, &new).join("."),
                expected,
                "{old}"
            );
        }
    }
}
