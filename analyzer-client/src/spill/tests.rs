use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::span::Resource;

const MIB: u64 = 1 << 20;

fn head(service: &str) -> Head {
    Head::new(&Resource::new(service.to_owned()), "scope", "1")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(folder: &TempDir, bytes_max: u64) -> SpillFolder {
    SpillFolder::open(folder.path(), bytes_max).expect("it is ours")
}

fn append(spill: &SpillFolder, payload: &[u8], spans: u64) -> u64 {
    let (written, lost) = spill.append(&head("orders"), payload, spans);
    written.expect("there is room");
    lost.spans
}

/// Takes everything out, as a receiver would that takes all; what came and how much was lost.
fn drained(spill: &SpillFolder, bytes_max: usize) -> (Vec<Vec<u8>>, u64) {
    let (mut came, mut lost) = (Vec::new(), 0);
    loop {
        let (taken, gone) = spill.take(bytes_max);
        lost += gone.spans;
        let Some(taken) = taken else { return (came, lost) };
        assert!(taken.records.len() == 1 || taken.bytes() <= bytes_max);
        lost += spill.sent(&taken).spans;
        came.extend(taken.records);
    }
}

fn only_file(folder: &TempDir) -> PathBuf {
    let mut files = fs::read_dir(folder.path()).expect("it is there").map(|entry| entry.expect("readable").path());
    let only = files.next().expect("there is one");
    assert!(files.next().is_none());
    only
}

#[test]
fn what_was_written_is_read_in_order_also_by_the_next_process_and_under_the_first_ones_name() {
    let folder = folder();
    let spill = open(&folder, 8 * MIB);
    for number in 0..40_u8 {
        append(&spill, &vec![number; 100_000], 10);
    }
    assert!(spill.stats().files > 1, "{:?}", spill.stats());
    let (first, _) = spill.take(150_000);
    let first = first.expect("there are spans");
    assert_eq!((first.records.len(), first.spans, first.records[0][0]), (1, 10, 0));
    spill.give_back();
    drop(spill);
    let spill = open(&folder, 8 * MIB);
    assert_eq!((spill.stats().spans, spill.stats().recovered, spill.stats().damaged), (400, 400, 0));
    let (again, _) = spill.take(150_000);
    assert_eq!(again.expect("they stayed").head.to_bytes(), head("orders").to_bytes());
    let (came, lost) = drained(&spill, 300_000);
    assert_eq!(came.iter().map(|record| record[0]).collect::<Vec<_>>(), (0..40).collect::<Vec<u8>>());
    let stats = spill.stats();
    assert_eq!((lost, stats.spans, stats.bytes, stats.files), (0, 0, 0, 0));
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
}

#[test]
fn the_oldest_give_way_at_the_bound_and_are_counted() {
    let folder = folder();
    let spill = open(&folder, MIB);
    let lost: u64 = (0..200_u8).map(|number| append(&spill, &vec![number; 20_000], 3)).sum();
    let stats = spill.stats();
    assert!(stats.bytes <= MIB && lost > 0 && stats.overflowed == lost, "{stats:?}");
    assert_eq!(stats.spans + lost, 600);
    let (came, unreadable) = drained(&spill, 1 << 20);
    assert_eq!((came.len() as u64 * 3, unreadable), (600 - lost, 0));
    assert_eq!(came.last().map(|record| record[0]), Some(199));
    // What is being sent stays.
    append(&spill, &[1; 60_000], 1);
    let (taken, _) = spill.take(1);
    for _ in 0..100 {
        append(&spill, &[2; 60_000], 1);
    }
    assert_eq!(spill.sent(&taken.expect("it was written")).spans, 0);
}

#[test]
fn a_folder_is_held_by_one() {
    let folder = folder();
    let spill = open(&folder, MIB);
    assert!(matches!(SpillFolder::open(folder.path(), MIB), Err(SpillError::InUse(_))));
    drop(spill);
    open(&folder, MIB);
    assert!(matches!(SpillFolder::open(folder.path(), 1000), Err(SpillError::TooSmall(1000))));
    let file = folder.path().join("file");
    fs::write(&file, "").expect("writable");
    let told = SpillFolder::open(&file.join("below"), MIB).expect_err("no folder").to_string();
    assert!(told.contains("name a folder"), "{told}");
}

#[test]
fn a_damaged_record_costs_itself_and_others_files_are_left_alone() {
    let folder = folder();
    let spill = open(&folder, MIB);
    for number in 0..5 {
        append(&spill, &[number; 100], 2);
    }
    let file = only_file(&folder);
    let mut text = fs::read(&file).expect("it is there");
    let third = text.windows(4).position(|window| window == [2; 4]).expect("it is there");
    text[third] ^= 1;
    fs::write(&file, text).expect("writable");
    let (came, lost) = drained(&spill, 1 << 20);
    assert_eq!((came.len(), lost, spill.stats().unreadable), (4, 2, 2));
    drop(spill);

    fs::write(folder.path().join("0000000000000007.spans"), "not ours").expect("writable");
    fs::write(folder.path().join("notes.txt"), "kept").expect("writable");
    let spill = open(&folder, MIB);
    assert_eq!((spill.stats().damaged, spill.stats().spans), (1, 0));
    append(&spill, b"x", 1);
    assert_eq!(drained(&spill, 10).0, [b"x".to_vec()]);
    assert!(only_file(&folder).ends_with("notes.txt"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a file holds, reading it ends, panics not, and yields nothing that was not written.
    #[test]
    fn any_damage_is_survived(cut in 0usize..1200, flip in 0usize..1200, bit in 0u8..8) {
        let folder = folder();
        let spill = open(&folder, MIB);
        let written: Vec<Vec<u8>> = (0..5_u8).map(|number| vec![number; 200]).collect();
        for payload in &written {
            append(&spill, payload, 1);
        }
        drop(spill);
        let file = only_file(&folder);
        let mut text = fs::read(&file).expect("it is there");
        if let Some(byte) = text.get_mut(flip) {
            *byte ^= 1 << bit;
        }
        text.truncate(text.len().saturating_sub(cut));
        fs::write(&file, text).expect("writable");
        let spill = open(&folder, MIB);
        let expected = spill.stats().spans;
        let (came, lost) = drained(&spill, 450);
        prop_assert!(came.iter().all(|record| written.contains(record)));
        prop_assert_eq!(came.len() as u64 + lost, expected);
        prop_assert_eq!(spill.stats().files, 0);
    }
}
