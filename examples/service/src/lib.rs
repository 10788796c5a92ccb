//! A model behind HTTP.
//!
//! Given a session; promises that requests of any batch size are answered by the one copy of the model, at most as many at a time as
//! there are processors, that no request waits for a plan that was prepared, and that what is wrong with a request is said in its answer.
//!
//! `POST /run` takes and gives `{"NAME": {"shape": [2, 3], "values": [...]}}`, float32 by the names of inputs and outputs;
//! `GET /plans` says how many plans were built since the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use ndarray::ArrayD;
use onnx_swish::{Diagnostic, Error, Session, Shapes};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// A tensor as requests and answers spell it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// One size per dimension.
    pub shape: Vec<usize>,
    /// The elements, last dimension fastest.
    pub values: Vec<f32>,
}

/// Tensors by the names of inputs or outputs.
pub type Named = BTreeMap<String, Values>;

/// What all requests share.
#[derive(Clone)]
struct Service {
    session: Session,
    plans: Arc<AtomicUsize>,
    /// A run takes a whole processor, so more at a time would only wait for each other.
    processors: Arc<Semaphore>,
}

/// What a request may hold. Sixteen images of 3x224x224 are 27 MB as text.
const LONGEST_REQUEST: usize = 64 << 20;

/// The service for a model, its plans for these batch sizes built: a request of another size is answered too, and waits for its plan.
/// `item` is the shape of one item of a batch.
///
/// # Errors
/// If the model cannot be loaded, or not for one of the sizes.
pub fn service(path: &str, batches: &[usize], item: &[usize]) -> Result<Router, Error> {
    let plans = Arc::new(AtomicUsize::new(0));
    let built = plans.clone();
    let session = Session::builder()
        // One plan is left over for a size that nobody foresaw.
        .cached_shapes(batches.len() + 1)
        .diagnostics(move |event| {
            if let Diagnostic::Engine(_) = event {
                built.fetch_add(1, Ordering::Relaxed);
            }
        })
        .open(path)?;
    for batch in batches {
        session.prepare(&shapes(&session, *batch, item))?;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let service = Service {
        session,
        plans,
        processors: Arc::new(Semaphore::new(processors)),
    };
    Ok(Router::new()
        .route("/run", post(run))
        .route("/plans", get(plans_built))
        .layer(DefaultBodyLimit::max(LONGEST_REQUEST))
        .with_state(service))
}

/// The shapes of all inputs for a batch of items of one shape.
pub fn shapes(session: &Session, batch: usize, item: &[usize]) -> Shapes {
    let inputs = session.inputs().iter();
    let sizes = [&[batch], item].concat();
    inputs
        .map(|input| (input.name.clone(), sizes.clone()))
        .collect()
}

/// The status of an answer, and its text.
type Refusal = (StatusCode, String);

async fn run(
    State(service): State<Service>,
    Json(request): Json<Named>,
) -> Result<Json<Named>, Refusal> {
    let busy = |error: &dyn std::fmt::Display| (StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    let processor = service.processors.clone().acquire_owned().await;
    let processor = processor.map_err(|error| busy(&error))?;
    // Computing for milliseconds would keep other requests from being read.
    let answer = tokio::task::spawn_blocking(move || {
        let _until_done = processor;
        answer(&service.session, request)
    });
    answer.await.map_err(|error| busy(&error))?.map(Json)
}

fn answer(session: &Session, request: Named) -> Result<Named, Refusal> {
    let mut inputs = Vec::new();
    for (name, tensor) in request {
        let array = ArrayD::from_shape_vec(tensor.shape, tensor.values);
        let array =
            array.map_err(|error| (StatusCode::BAD_REQUEST, format!("input `{name}`: {error}")))?;
        inputs.push((name, array));
    }
    let outputs = session.run(inputs).map_err(|error| {
        let status = if error.is_input_error() {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        (status, error.to_string())
    })?;
    let mut named = Named::new();
    for (name, tensor) in outputs.iter() {
        let view = tensor
            .view::<f32>()
            .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        let values = Values {
            shape: view.shape().to_vec(),
            values: view.iter().copied().collect(),
        };
        named.insert(name.to_owned(), values);
    }
    Ok(named)
}

async fn plans_built(State(service): State<Service>) -> String {
    service.plans.load(Ordering::Relaxed).to_string()
}
