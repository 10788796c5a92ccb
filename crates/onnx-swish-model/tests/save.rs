//! Saving: whole or not at all, and nothing that was there is harmed.

#![cfg(unix)]
// What a test cannot check here, it says.
#![allow(clippy::print_stdout)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::*;
use onnx_swish_model::{Error, Model, NodeId, SaveError, SaveOptions, Saved, Spliced, save};
use prost::Message as _;

fn write_model(path: &Path) -> Model {
    fs::write(path, model(graph(swish(), &["x"], &["y"])).encode_to_vec())
        .expect("the folder is writable");
    Model::open(path).expect("a model")
}

fn edited(model: &Model) -> Spliced {
    let mut edit = model.edit();
    let id = NodeId { scope: 0, node: 1 };
    edit.insert_node_after(id, &node("Neg", &["y"], &["z"]))
        .expect("it is there");
    edit.finish().expect("no overlap")
}

fn allow(in_place: bool, force: bool) -> SaveOptions<'static> {
    SaveOptions {
        in_place,
        force,
        ..SaveOptions::default()
    }
}

fn save_to(model: &Model, target: &Path, options: SaveOptions<'_>) -> Result<Saved, Error> {
    save(model, &edited(model), target, options)
}

/// Names in a folder, to see that nothing was left behind.
fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_file_is_whole_and_has_ordinary_permissions() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write_model(&folder.path().join("m.onnx"));
    let target = folder.path().join("out.onnx");
    let saved = save_to(&model, &target, allow(false, false)).expect("saved");
    assert_eq!(
        fs::read(&target).expect("readable"),
        edited(&model).to_bytes()
    );
    assert_eq!(saved.bytes, fs::metadata(&target).expect("there").len());
    // What the shell's touch gives is what any new file gets under this process's mask.
    let plain = folder.path().join("plain");
    fs::write(&plain, "").expect("writable");
    let mode = |path: &Path| fs::metadata(path).expect("there").mode();
    assert_eq!(mode(&target), mode(&plain));
    assert_eq!(listing(folder.path()), ["m.onnx", "out.onnx", "plain"]);
}

#[test]
fn what_is_there_is_not_replaced_unasked() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("m.onnx");
    let model = write_model(&input);
    let before = fs::read(&input).expect("readable");
    let other = folder.path().join("other");
    fs::write(&other, "precious").expect("writable");
    let refused = save_to(&model, &other, allow(false, false));
    assert!(matches!(
        refused,
        Err(Error::Save(SaveError::Exists { .. }))
    ));
    // The input, by its name, by a link, by a hard link and by another way to its folder.
    let link = folder.path().join("link");
    symlink("m.onnx", &link).expect("links work");
    let hard = folder.path().join("hard");
    fs::hard_link(&input, &hard).expect("links work");
    let roundabout = folder
        .path()
        .join("../")
        .join(folder.path().file_name().expect("a name"))
        .join("m.onnx");
    for target in [&input, &link, &hard, &roundabout] {
        for force in [false, true] {
            let refused = save_to(&model, target, allow(false, force));
            assert!(
                matches!(refused, Err(Error::Save(SaveError::SameFile { .. }))),
                "{target:?}"
            );
        }
    }
    let refused = save_to(&model, folder.path(), allow(true, true));
    assert!(matches!(
        refused,
        Err(Error::Save(SaveError::IsFolder { .. }))
    ));
    assert_eq!(fs::read(&input).expect("readable"), before);
    assert_eq!(fs::read(&other).expect("readable"), b"precious");
}

#[test]
fn force_replaces_and_keeps_the_permissions() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write_model(&folder.path().join("m.onnx"));
    let target = folder.path().join("out.onnx");
    fs::write(&target, "old").expect("writable");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).expect("ours");
    save_to(&model, &target, allow(false, true)).expect("saved");
    assert_eq!(fs::metadata(&target).expect("there").mode() & 0o7777, 0o640);
    assert_eq!(
        fs::read(&target).expect("readable"),
        edited(&model).to_bytes()
    );
    assert_eq!(listing(folder.path()), ["m.onnx", "out.onnx"]);
}

#[test]
fn in_place_replaces_a_link_and_not_what_it_leads_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("real.onnx");
    write_model(&file);
    let link = folder.path().join("m.onnx");
    symlink("real.onnx", &link).expect("links work");
    let model = Model::open(&link).expect("a model");
    let (before, expected) = (
        fs::read(&file).expect("readable"),
        edited(&model).to_bytes(),
    );
    save_to(&model, &link, allow(true, false)).expect("saved");
    assert!(fs::symlink_metadata(&link).expect("there").is_file());
    assert_eq!(fs::read(&link).expect("readable"), expected);
    assert_eq!(fs::read(&file).expect("readable"), before);
}

#[test]
fn a_large_mapped_model_can_be_changed_in_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.onnx");
    let mut g = graph(swish(), &["x"], &["y"]);
    g.doc_string = Some(vec![b'd'; 1 << 20].into());
    fs::write(&path, model(g).encode_to_vec()).expect("writable");
    let model = Model::open(&path).expect("a model");
    let expected = edited(&model).to_bytes();
    save_to(&model, &path, allow(true, false)).expect("saved");
    assert_eq!(fs::read(&path).expect("readable"), expected);
}

/// Long ranges are moved by the kernel; onto another file system, or into a device, they may not be.
#[test]
fn a_large_model_is_saved_wherever_it_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.onnx");
    let mut g = graph(swish(), &["x"], &["y"]);
    g.doc_string = Some(
        (0..3 << 20)
            .map(|i| (i % 251) as u8)
            .collect::<Vec<_>>()
            .into(),
    );
    fs::write(&path, model(g).encode_to_vec()).expect("writable");
    let model = Model::open(&path).expect("a model");
    let expected = edited(&model).to_bytes();
    save_to(&model, &folder.path().join("beside"), allow(false, false)).expect("saved");
    assert!(fs::read(folder.path().join("beside")).expect("readable") == expected);
    save_to(&model, Path::new("/dev/null"), allow(false, false)).expect("saved");
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped another file system: there is no /dev/shm here");
        return;
    };
    save_to(&model, &memory.path().join("out"), allow(false, false)).expect("saved");
    assert!(fs::read(memory.path().join("out")).expect("readable") == expected);
}

#[test]
fn links_that_lead_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write_model(&folder.path().join("m.onnx"));
    let dangling = folder.path().join("dangling");
    symlink("new.onnx", &dangling).expect("links work");
    save_to(&model, &dangling, allow(false, false)).expect("saved where the link points");
    assert!(folder.path().join("new.onnx").is_file());
    symlink("circle", folder.path().join("circle")).expect("links work");
    assert!(save_to(&model, &folder.path().join("circle"), allow(true, true)).is_err());
    assert!(
        save_to(
            &model,
            &folder.path().join("no/such/folder.onnx"),
            allow(true, true)
        )
        .is_err()
    );
}

#[test]
fn a_device_is_written_to_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = write_model(&folder.path().join("m.onnx"));
    save_to(&model, Path::new("/dev/null"), allow(false, false)).expect("saved");
    assert!(!fs::metadata("/dev/null").expect("there").is_file());
}

#[test]
fn a_pipe_without_a_name_is_written_to() {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    let folder = tempfile::tempdir().expect("a folder");
    let model = write_model(&folder.path().join("m.onnx"));
    let (mut reader, writer) = std::io::pipe().expect("pipes work");
    let path = format!("/dev/fd/{}", writer.as_raw_fd());
    let saved = save_to(&model, Path::new(&path), allow(false, false)).expect("saved");
    drop(writer);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).expect("readable");
    assert_eq!(read.len() as u64, saved.bytes);
}

#[test]
fn root_leaves_a_replaced_file_to_its_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.onnx");
    let model = write_model(&path);
    if std::os::unix::fs::chown(&path, Some(12_345), Some(54_321)).is_err() {
        println!("skipped: only root gives files away");
        return;
    }
    save_to(&model, &path, allow(true, false)).expect("saved");
    let there = fs::metadata(&path).expect("there");
    assert_eq!((there.uid(), there.gid()), (12_345, 54_321));
}

/// A model of two tensors in two files, one of them in a folder of its own.
fn with_data(folder: &Path) -> Model {
    fs::create_dir(folder.join("sub")).expect("writable");
    fs::write(folder.join("a.bin"), [1; 4]).expect("writable");
    fs::write(folder.join("sub/b.bin"), [2; 4]).expect("writable");
    let mut g = graph(swish(), &["x"], &["y"]);
    g.initializer.push(external("a", "a.bin", &[]));
    g.initializer.push(external("b", "sub/b.bin", &[]));
    g.initializer.push(external("c", "sub/../a.bin", &[]));
    fs::write(folder.join("m.onnx"), model(g).encode_to_vec()).expect("writable");
    Model::open(folder.join("m.onnx")).expect("a model")
}

fn two_folders() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().expect("a folder");
    let [from, to] = ["from", "to"].map(|name| root.path().join(name));
    fs::create_dir(&from).expect("writable");
    fs::create_dir(&to).expect("writable");
    (root, from, to)
}

#[test]
fn data_in_the_same_folder_is_not_touched() {
    let (_root, from, _) = two_folders();
    let model = with_data(&from);
    let before = fs::metadata(from.join("a.bin")).expect("there");
    let saved = save_to(&model, &from.join("out.onnx"), allow(false, false)).expect("saved");
    assert!(saved.copied.is_empty() && saved.left_behind.is_empty());
    let after = fs::metadata(from.join("a.bin")).expect("there");
    assert_eq!(
        (before.ino(), before.mtime_nsec()),
        (after.ino(), after.mtime_nsec())
    );
}

#[test]
fn data_is_copied_to_another_folder() {
    let (_root, from, to) = two_folders();
    let model = with_data(&from);
    let mut seen = Vec::new();
    let mut progress = |p: onnx_swish_model::SaveProgress<'_>| seen.push((p.done, p.total));
    let options = SaveOptions {
        progress: Some(&mut progress),
        ..SaveOptions::default()
    };
    let saved = save_to(&model, &to.join("out.onnx"), options).expect("saved");
    assert_eq!(saved.copied.len(), 2);
    assert_eq!(seen.last(), Some(&(8, 8)));
    assert_eq!(listing(&to), ["a.bin", "out.onnx", "sub"]);
    assert_eq!(fs::read(to.join("sub/b.bin")).expect("readable"), [2; 4]);
    // Copies: other readers refuse links.
    assert_eq!(fs::metadata(to.join("a.bin")).expect("there").nlink(), 1);
    Model::open(to.join("out.onnx"))
        .expect("a model")
        .check_external_data()
        .expect("all there");
    // Once more: the data is there already.
    let saved = save_to(&model, &to.join("again.onnx"), allow(false, false)).expect("saved");
    assert!(saved.copied.is_empty());
}

#[test]
fn other_data_of_the_same_name_is_not_replaced_unasked() {
    let (_root, from, to) = two_folders();
    let model = with_data(&from);
    fs::write(to.join("a.bin"), "other").expect("writable");
    let refused = save_to(&model, &to.join("out.onnx"), allow(false, false));
    assert!(matches!(
        refused,
        Err(Error::Save(SaveError::DataExists { .. }))
    ));
    assert_eq!(listing(&to), ["a.bin"]);
    save_to(&model, &to.join("out.onnx"), allow(false, true)).expect("saved");
    assert_eq!(fs::read(to.join("a.bin")).expect("readable"), [1; 4]);
}

#[test]
fn data_can_be_left_behind_knowingly() {
    let (_root, from, to) = two_folders();
    let model = with_data(&from);
    let options = SaveOptions {
        leave_external: true,
        ..SaveOptions::default()
    };
    let saved = save_to(&model, &to.join("out.onnx"), options).expect("saved");
    assert_eq!(saved.left_behind, ["a.bin", "sub/b.bin", "sub/../a.bin"]);
    assert_eq!(listing(&to), ["out.onnx"]);
}

#[test]
fn missing_data_leaves_nothing_behind() {
    let (_root, from, to) = two_folders();
    let model = with_data(&from);
    fs::remove_file(from.join("sub/b.bin")).expect("ours");
    assert!(matches!(
        save_to(&model, &to.join("out.onnx"), allow(false, false)),
        Err(Error::External(_))
    ));
    assert!(listing(&to).is_empty());
}

#[test]
fn a_failure_takes_copied_data_back() {
    let (_root, from, to) = two_folders();
    let model = with_data(&from);
    // The folder for the second file is a file, found out after the first could have been copied.
    fs::write(to.join("sub"), "in the way").expect("writable");
    assert!(save_to(&model, &to.join("out.onnx"), allow(false, false)).is_err());
    assert_eq!(listing(&to), ["sub"]);
}

#[test]
fn data_is_not_overwritten_by_the_model() {
    let (_root, from, _) = two_folders();
    let model = with_data(&from);
    let refused = save_to(&model, &from.join("a.bin"), allow(true, true));
    assert!(matches!(
        refused,
        Err(Error::Save(SaveError::IsData { .. }))
    ));
    assert_eq!(fs::read(from.join("a.bin")).expect("readable"), [1; 4]);
}

/// Also where the weights come to stand only by the copy, and the model would take their place.
#[test]
fn data_that_is_copied_is_not_overwritten_by_the_model() {
    let (_root, from, to) = two_folders();
    let model = with_data(&from);
    let out = to.join("a.bin");
    let refused = |force| {
        let result = save_to(&model, &out, allow(false, force));
        assert!(
            matches!(result, Err(Error::Save(SaveError::IsData { .. }))),
            "{result:?}"
        );
    };
    refused(false);
    assert!(listing(&to).is_empty());
    fs::write(&out, "other").expect("writable");
    refused(true);
    assert_eq!(fs::read(&out).expect("readable"), b"other");
    fs::write(&out, [1; 4]).expect("writable");
    refused(true);
    assert_eq!(listing(&to), ["a.bin"]);
}

/// The operating system does not find `sub/../a.bin` where there is no `sub`.
#[test]
fn folders_that_a_location_passes_through_are_made() {
    let (_root, from, to) = two_folders();
    fs::create_dir(from.join("sub")).expect("writable");
    fs::write(from.join("a.bin"), [1; 4]).expect("writable");
    let mut g = graph(swish(), &["x"], &["y"]);
    g.initializer.push(external("a", "sub/../a.bin", &[]));
    fs::write(from.join("m.onnx"), model(g).encode_to_vec()).expect("writable");
    let model = Model::open(from.join("m.onnx")).expect("a model");
    save_to(&model, &to.join("out.onnx"), allow(false, false)).expect("saved");
    assert_eq!(fs::read(to.join("sub/../a.bin")).expect("found"), [1; 4]);
}

#[test]
fn data_is_not_copied_beside_a_device() {
    let (_root, from, _) = two_folders();
    let model = with_data(&from);
    let null = Path::new("/dev/null");
    let saved = save_to(&model, null, allow(false, false)).expect("saved");
    assert!(saved.copied.is_empty());
    assert_eq!(saved.left_behind, ["a.bin", "sub/b.bin", "sub/../a.bin"]);
    assert!(!Path::new("/dev/a.bin").exists());
}

/// In a cache of blobs the model finds its data as it is a link itself; a new file beside it does not.
#[test]
fn data_out_of_reach_of_a_new_file_is_told() {
    let (root, from, to) = two_folders();
    let blobs = root.path().join("blobs");
    fs::create_dir(&blobs).expect("writable");
    with_data(&from);
    fs::rename(from.join("a.bin"), blobs.join("1")).expect("writable");
    fs::rename(from.join("m.onnx"), blobs.join("2")).expect("writable");
    symlink("../blobs/1", from.join("a.bin")).expect("links work");
    symlink("../blobs/2", from.join("m.onnx")).expect("links work");
    let model = Model::open(from.join("m.onnx")).expect("a model");
    let saved = save_to(&model, &from.join("out.onnx"), allow(false, false)).expect("saved");
    assert_eq!(saved.left_behind, ["a.bin", "sub/../a.bin"]);
    // A model that loads does not become one that does not.
    let lost = save_to(&model, &from.join("m.onnx"), allow(true, false));
    assert!(
        matches!(lost, Err(Error::Save(SaveError::LosesData { .. }))),
        "{lost:?}"
    );
    assert!(
        fs::symlink_metadata(from.join("m.onnx"))
            .expect("there")
            .is_symlink()
    );
    // Where the data is copied, it is found.
    let saved = save_to(&model, &to.join("out.onnx"), allow(false, false)).expect("saved");
    assert_eq!((saved.copied.len(), saved.left_behind.len()), (2, 0));
}

/// The layout of Hugging Face's cache: a new file in a snapshot finds the data by the links there, and no file is changed that other
/// snapshots have, too.
#[test]
fn in_a_cache_links_become_files_and_blobs_stay() {
    let (root, from, _) = two_folders();
    let [blobs, snapshot] = ["c/blobs", "c/snapshots/rev"].map(|name| root.path().join(name));
    for folder in [&blobs, &snapshot.join("sub")] {
        fs::create_dir_all(folder).expect("writable");
    }
    with_data(&from);
    for (name, blob) in [("a.bin", "1"), ("m.onnx", "2"), ("sub/b.bin", "3")] {
        fs::rename(from.join(name), blobs.join(blob)).expect("writable");
        let up = if name.contains('/') {
            "../../.."
        } else {
            "../.."
        };
        symlink(format!("{up}/blobs/{blob}"), snapshot.join(name)).expect("links work");
    }
    let before = fs::read(blobs.join("2")).expect("readable");
    let path = snapshot.join("m.onnx");
    let model = Model::open(&path).expect("a model");
    let (beside, linked) = (
        snapshot.join("out.onnx"),
        ["a.bin", "sub/b.bin", "sub/../a.bin"],
    );
    let saved = save_to(&model, &beside, allow(false, false)).expect("saved");
    assert_eq!(
        (saved.left_behind.len(), &saved.linked[..]),
        (0, &linked.map(str::to_owned)[..])
    );
    let new = Model::open(&beside).expect("a model");
    new.check_external_data().expect("the data is found");
    save_to(&model, &path, allow(true, false)).expect("saved");
    assert!(fs::symlink_metadata(&path).expect("there").is_file());
    // Nor by another model that is to replace the link.
    fs::remove_file(&path).expect("writable");
    symlink("../../blobs/2", &path).expect("links work");
    save_to(&new, &path, allow(false, true)).expect("saved");
    assert_eq!(fs::read(blobs.join("2")).expect("readable"), before);
    assert!(fs::symlink_metadata(&path).expect("there").is_file());
}

#[test]
fn data_is_not_copied_through_a_link_out_of_the_folder() {
    let (root, from, to) = two_folders();
    let model = with_data(&from);
    let elsewhere = root.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("writable");
    symlink(&elsewhere, to.join("sub")).expect("links work");
    let refused = save_to(&model, &to.join("out.onnx"), allow(false, true));
    assert!(
        matches!(refused, Err(Error::Save(SaveError::DataOutside { .. }))),
        "{refused:?}"
    );
    assert!(listing(&elsewhere).is_empty());
}

/// A file system of 64 KiB, and a model that does not fit.
#[test]
fn a_full_disk_leaves_what_was_there() {
    let root = tempfile::tempdir().expect("a folder");
    let disk = root.path().join("disk");
    fs::create_dir(&disk).expect("writable");
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&disk)
        .output();
    match mount {
        Ok(output) if output.status.success() => {}
        other => {
            println!("skipped: a small file system cannot be mounted here ({other:?})");
            return;
        }
    }
    let result = std::panic::catch_unwind(|| {
        let target = disk.join("out.onnx");
        fs::write(&target, "old").expect("that fits");
        let mut g = graph(swish(), &["x"], &["y"]);
        g.doc_string = Some(vec![b'd'; 1 << 20].into());
        let model = open(&model(g));
        let full = save_to(&model, &target, allow(false, true));
        assert!(matches!(full, Err(Error::Io { .. })), "{full:?}");
        assert_eq!(fs::read(&target).expect("readable"), b"old");
        assert_eq!(listing(&disk), ["out.onnx"]);
        // Data that does not fit, beside a model that would.
        let from = root.path().join("from");
        fs::create_dir(&from).expect("writable");
        let model = with_data(&from);
        fs::write(from.join("sub/b.bin"), vec![2; 1 << 20]).expect("writable");
        assert!(save_to(&model, &disk.join("other.onnx"), allow(false, false)).is_err());
        assert_eq!(listing(&disk), ["out.onnx"]);
    });
    let unmounted = Command::new("umount")
        .arg(&disk)
        .status()
        .expect("umount goes with mount");
    assert!(unmounted.success());
    result.expect("the disk was full, and nothing was lost");
}

/// Where a child process of the next test saves to, over and over.
const CHILD_TARGET: &str = "ONNX_SWISH_TEST_SAVE_TO";

/// Not a test of its own: what the killed process does.
#[test]
#[ignore = "runs in a process that the next test kills"]
fn save_until_killed() {
    let Some(target) = std::env::var_os(CHILD_TARGET) else {
        return;
    };
    let mut g = graph(swish(), &["x"], &["y"]);
    g.doc_string = Some(vec![b'd'; 8 << 20].into());
    let model = open(&model(g));
    loop {
        save_to(&model, Path::new(&target), allow(false, true)).expect("saved");
    }
}

#[test]
fn a_killed_process_leaves_the_old_file_or_the_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("out.onnx");
    let mut whole = 0;
    for round in 0..8u64 {
        let before = fs::metadata(&target).ok().map(|m| m.ino());
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "save_until_killed"])
            .env(CHILD_TARGET, &target)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("a process");
        // Kill at another moment of the work each time, once it has begun to save.
        for _ in 0..500 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            if fs::metadata(&target).ok().map(|m| m.ino()) != before {
                break;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(round * 3));
        child.kill().expect("ours");
        child.wait().expect("ours");
        if target.exists() {
            Model::open(&target).expect("whole");
            whole += 1;
        }
        // A second name may stand for a moment when one file takes another's place; it too is of a whole file.
        for name in listing(folder.path()) {
            Model::open(folder.path().join(name)).expect("whole");
        }
    }
    assert!(whole > 0, "nothing was ever saved");
}
