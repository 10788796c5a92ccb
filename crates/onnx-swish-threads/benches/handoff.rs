//! What it costs to hand work to the threads of a [`Pool`]: `cargo bench -p onnx-swish-threads -- 2`.
//! Given: a number of threads, two unless it says so.
//! Promise: the least time of a job of empty tasks with threads awake and asleep, and for tasks of growing length the
//! time of the job against that of the caller alone: where it falls below one, threads pay.
#![allow(clippy::print_stdout)]

use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

use onnx_swish_threads::{Inline, Pool, Workers};

fn least(mut work: impl FnMut()) -> f64 {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..20_000)
        .map(|_| time(&mut work))
        .fold(f64::INFINITY, f64::min)
}

/// Arithmetic for about this long.
fn toil(rounds: u32) {
    let mut x = 1.0f32;
    for _ in 0..rounds {
        x = black_box(x * 1.000_1);
    }
    black_box(x);
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `cargo bench` adds a flag of its own.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let threads = words.next().map_or(Ok(2), |n| n.parse())?;
    let pool = Pool::new(threads)?;
    let tasks = 4 * threads;
    println!("{:.2} us empty job", least(|| pool.run(tasks, &|_| ())));
    let both = || {
        // Neither task ends before the other has begun: the second thread is needed.
        let begun = std::sync::atomic::AtomicUsize::new(0);
        pool.run(2, &|_| {
            begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            while begun.load(std::sync::atomic::Ordering::Relaxed) < 2 {
                spin_loop();
            }
        });
    };
    if threads > 1 {
        println!("{:.2} us until a thread awake has begun", least(both));
        let asleep = (0..200).map(|_| {
            std::thread::sleep(Duration::from_millis(2));
            let start = Instant::now();
            both();
            start.elapsed().as_secs_f64() * 1e6
        });
        println!(
            "{:.2} us until a thread asleep has begun (median)",
            median(asleep.collect())
        );
    }
    for rounds in [25, 50, 100, 200, 400, 800, 1600, 6400] {
        let alone = least(|| Inline.run(tasks, &|_| toil(rounds)));
        let shared = least(|| pool.run(tasks, &|_| toil(rounds)));
        println!("{alone:8.2} us alone, {:.2} of it shared", shared / alone);
    }
    Ok(())
}
