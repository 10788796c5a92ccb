//! The service under load: eight batch sizes at once on loopback, for as many seconds as LOAD_SECONDS says (3 by default).
//!
//!     LOAD_SECONDS=60 cargo test --release --manifest-path examples/service/Cargo.toml -- --nocapture
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ndarray::ArrayD;
use onnx_swish::Session;
use onnx_swish_service::{Named, Values, service, shapes};

const BATCHES: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 16];
/// Half of the classifier's usual width and all of its height.
const ITEM: [usize; 3] = [3, 48, 96];
const CLIENTS: usize = 4;

fn model() -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let path = fixtures.join("real/ch_ppocr_mobile_v2.0_cls_infer.onnx");
    path.to_str().unwrap().to_owned()
}

/// Serves until the process ends.
fn start() -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, service(&model(), &BATCHES, &ITEM).unwrap())
                .await
                .unwrap();
        });
    });
    told.recv().unwrap()
}

fn named(tensors: impl IntoIterator<Item = (String, onnx_swish::Tensor)>) -> Named {
    let spelled = tensors.into_iter().map(|(name, tensor)| {
        let array: ArrayD<f32> = tensor.view::<f32>().unwrap().to_owned();
        let values = Values {
            shape: array.shape().to_vec(),
            values: array.into_iter().collect(),
        };
        (name, values)
    });
    spelled.collect()
}

/// A request for each batch size and the answer that it must have, by a session that fuses nothing and belongs to nobody else.
fn cases() -> Vec<(Named, Named)> {
    let plain = Session::builder().fuse(false).open(model()).unwrap();
    let case = |(seed, batch): (usize, &usize)| {
        let inputs = plain.random_inputs(seed as u64, &shapes(&plain, *batch, &ITEM));
        let inputs = inputs.unwrap();
        let outputs = plain.run(inputs.clone()).unwrap();
        (named(inputs), named(outputs))
    };
    BATCHES.iter().enumerate().map(case).collect()
}

fn close(found: &Named, expected: &Named) -> bool {
    found.keys().eq(expected.keys())
        && found
            .values()
            .zip(expected.values())
            .all(|(found, expected)| {
                let mut both = found.values.iter().zip(&expected.values);
                found.shape == expected.shape && both.all(|(a, b)| (a - b).abs() < 1e-4)
            })
}

/// Resident memory of this process in MiB; 0 where it cannot be asked for.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<usize>().ok()).unwrap_or(0) / 1024
}

#[test]
fn many_batch_sizes_at_once_get_right_answers_from_plans_that_stay() {
    let seconds = std::env::var("LOAD_SECONDS").map_or(3, |text| text.parse().unwrap());
    let address = start();
    let run = format!("http://{address}/run");
    let plans = || {
        let mut answer = ureq::get(format!("http://{address}/plans")).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    };
    let cases = cases();
    let answered = AtomicUsize::new(0);
    let load = |time: Duration| {
        let until = Instant::now() + time;
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (run, cases, answered) = (&run, &cases, &answered);
                scope.spawn(move || {
                    let agent = ureq::Agent::new_with_defaults();
                    for at in client.. {
                        if Instant::now() > until {
                            break;
                        }
                        let (request, expected) = &cases[at % cases.len()];
                        let mut answer = agent.post(run).send_json(request).unwrap();
                        let found: Named = answer.body_mut().read_json().unwrap();
                        let batch = BATCHES[at % BATCHES.len()];
                        assert!(close(&found, expected), "a wrong answer for {batch}");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
    };
    assert_eq!(plans(), BATCHES.len().to_string());
    // Buffers of clients and server reach their size.
    load(Duration::from_secs(1));
    let before = resident();
    load(Duration::from_secs(seconds));
    let after = resident();
    let answered = answered.into_inner();
    println!("{answered} answers, {before} MiB before and {after} MiB after");
    assert_eq!(plans(), BATCHES.len().to_string(), "a plan was built again");
    assert!(after <= before + 16, "from {before} MiB to {after} MiB");
    assert!(answered > BATCHES.len() * CLIENTS);
}

#[test]
fn what_is_wrong_with_a_request_is_said_and_is_the_callers() {
    let run = format!("http://{}/run", start());
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let refused = |request: Named| {
        let mut answer = agent.post(&run).send_json(request).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    };
    let (status, text) = refused(Named::new());
    assert_eq!(status, 400);
    assert!(text.contains("was not given"), "{text}");
    let (request, _) = cases().swap_remove(0);
    let short = request.into_iter().map(|(name, mut tensor)| {
        tensor.values.pop();
        (name, tensor)
    });
    let (status, text) = refused(short.collect());
    assert_eq!(status, 400);
    assert!(text.contains("input `"), "{text}");
}
