use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use super::*;

async fn delivered(store: &Store, names: &[&str]) -> Vec<Delivered> {
    let mut wheels = Vec::new();
    for name in names {
        let bytes = Bytes::from(format!("bytes of {name}"));
        wheels.push(Delivered {
            cell: "cp311-manylinux_2_36_x86_64".to_owned(),
            python: "3.11".parse().unwrap(),
            project: name.parse().unwrap(),
            version: "1.0".parse().unwrap(),
            filename: format!("{name}-1.0-py3-none-any.whl").parse().unwrap(),
            size: bytes.len() as u64,
            sha256: store.put(bytes).await.unwrap(),
            runtime_packages: BTreeSet::from(["libpq5".to_owned()]),
        });
    }
    wheels
}

async fn image(store: &Store, names: &[&str]) -> WheelhouseImage {
    let wheels = delivered(store, names).await;
    let name = "wheels:1".parse().unwrap();
    let image = WheelhouseImage::new(store, &wheels, Arch::X86_64, Some(&name));
    image.await.unwrap()
}

/// All files below a directory, with their bytes.
fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs_err::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = tree(&entry.path()).into_iter();
            files.extend(below.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            files.insert(name, fs_err::read(entry.path()).unwrap());
        }
    }
    files
}

#[tokio::test]
async fn a_changed_wheel_changes_its_layer_and_the_locks() {
    let store = Store::open("memory:").await.unwrap();
    let before = image(&store, &["aa", "bb", "cc"]).await.layers();
    let same = image(&store, &["aa", "bb", "cc"]).await.layers();
    assert_eq!(before, same);
    assert_eq!(before.len(), 4);
    let after = image(&store, &["aa", "b2", "cc"]).await.layers();
    let kept: Vec<_> = after.iter().map(|layer| before.contains(layer)).collect();
    assert_eq!(kept, [true, false, true, false]);
}

#[tokio::test]
async fn many_wheels_share_layers_and_keep_to_them() {
    let store = Store::open("memory:").await.unwrap();
    let names: Vec<_> = (0..150).map(|number| format!("p{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let before: BTreeSet<_> = image(&store, &names).await.layers().into_iter().collect();
    assert!(before.len() as u64 <= LAYERS + 1, "{}", before.len());
    let after = image(&store, names.get(1..).unwrap()).await.layers();
    let new = after.iter().filter(|layer| !before.contains(layer)).count();
    assert!(new <= 2, "{new} layers are new");
}

#[tokio::test]
async fn a_layout_is_whole_and_the_tar_file_has_the_same() {
    let store = Store::open("memory:").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("layout");
    // What an earlier image left goes.
    let old = image(&store, &["old"]).await;
    old.write_layout(&store, &directory).await.unwrap();
    let image = image(&store, &["aa", "bb"]).await;
    image.write_layout(&store, &directory).await.unwrap();
    let files = tree(&directory);
    assert_eq!(files.len(), 3 + 3 + 2);
    for (path, bytes) in &files {
        if let Some(digest) = path.strip_prefix("blobs/sha256/") {
            assert_eq!(Digest::of(bytes).to_string(), digest);
        }
    }
    let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
    let manifest = index["manifests"][0]["digest"].as_str().unwrap();
    assert_eq!(manifest, format!("sha256:{}", image.digest()));

    let mut archive = Vec::new();
    image.write_tar(&store, &mut archive).await.unwrap();
    let mut again = Vec::new();
    image.write_tar(&store, &mut again).await.unwrap();
    assert_eq!(archive, again);
    let mut packed = BTreeMap::new();
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        if entry.header().entry_type().is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            packed.insert(path, bytes);
        }
    }
    assert_eq!(packed, files);
}

#[tokio::test]
async fn a_layer_holds_the_wheel_for_everybody_to_read() {
    let store = Store::open("memory:").await.unwrap();
    let image = image(&store, &["aa"]).await;
    let mut seen = Vec::new();
    for layer in &image.layers {
        let mut bytes = Vec::new();
        layer.write(&store, &mut bytes).await.unwrap();
        assert_eq!(Digest::of(&bytes), layer.digest);
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let mode = entry.header().mode().unwrap();
            seen.push((entry.path().unwrap().display().to_string(), mode));
        }
    }
    let cell = "cp311-manylinux_2_36_x86_64";
    assert_eq!(
        seen,
        [
            ("wheelhouse/".to_owned(), 0o755),
            ("wheelhouse/aa-1.0-py3-none-any.whl".to_owned(), 0o644),
            ("wheelhouse/".to_owned(), 0o755),
            (format!("wheelhouse/pylock.{cell}.toml"), 0o644),
            (format!("wheelhouse/requirements-{cell}.txt"), 0o644),
            (format!("wheelhouse/runtime-packages-{cell}.txt"), 0o644),
        ]
    );
}

#[tokio::test]
async fn a_layout_that_was_not_finished_is_finished() {
    let store = Store::open("memory:").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let image = image(&store, &["aa"]).await;
    image.write_layout(&store, folder.path()).await.unwrap();
    let whole = tree(folder.path());
    // As a run leaves it that is killed before it writes what names the blobs.
    let layer = image.layers()[0];
    for name in ["index.json", "manifest.json", &blob(&layer)] {
        fs_err::remove_file(folder.path().join(name)).unwrap();
    }
    image.write_layout(&store, folder.path()).await.unwrap();
    assert_eq!(tree(folder.path()), whole);
    // And one that fails at its first wheel.
    let broken = tempfile::tempdir().unwrap();
    let lost = Store::open("memory:").await.unwrap();
    image.write_layout(&lost, broken.path()).await.unwrap_err();
    image.write_layout(&store, broken.path()).await.unwrap();
    assert_eq!(tree(broken.path()), whole);
}

#[tokio::test]
async fn a_directory_with_other_files_is_left_alone() {
    let store = Store::open("memory:").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("file"), "").unwrap();
    let error = image(&store, &["aa"]).await;
    let error = error.write_layout(&store, folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("other files"), "{error}");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
}
