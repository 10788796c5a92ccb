//! `onnx-swish-service MODEL ITEM [ADDRESS]`: serves a model on an address, by default 127.0.0.1:8080.
//! Given a model whose first dimension is the batch's, and the shape of one item of it, as 3,224,224.
//! Promises to build the plans of the usual batch sizes before the first request.
#![allow(clippy::print_stderr)]

use std::error::Error;

/// Batches that are to be answered at once.
const BATCHES: [usize; 8] = [1, 2, 3, 4, 6, 8, 12, 16];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(model), Some(item)) = (arguments.next(), arguments.next()) else {
        return Err("give a model and the shape of one item: onnx-swish-service model.onnx 3,224,224 [ADDRESS]".into());
    };
    let item: Vec<usize> = item.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let address = arguments.next().unwrap_or("127.0.0.1:8080".to_owned());
    let service = onnx_swish_service::service(&model, &BATCHES, &item)?;
    let listener = tokio::net::TcpListener::bind(&address).await?;
    eprintln!("serving {model} on {}", listener.local_addr()?);
    axum::serve(listener, service).await?;
    Ok(())
}
