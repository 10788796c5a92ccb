//! Draws Swish for β = 0.1, 1 and 10 with ReLU and HardSwish, computed by these kernels.
//!
//!     cargo run -p onnx-swish-kernels --example figure -- docs/activations.svg

use std::error::Error;

use onnx_swish_kernels::{hard_swish, swish};
use plotters::prelude::*;

const WIDTH: u32 = 720;
const HEIGHT: u32 = 480;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "docs/activations.svg".to_owned());
    let x: Vec<f32> = (-500..=500).map(|i| i as f32 * 0.01).collect();
    let with = |f: &dyn Fn(&mut [f32])| {
        let mut y = vec![0.0; x.len()];
        f(&mut y);
        y
    };
    let relu: Vec<f32> = x.iter().map(|x| x.max(0.0)).collect();
    // Okabe and Ito's colours, which the colour-blind tell apart.
    let curves = [
        ("ReLU", RGBColor(153, 153, 153), 5, relu),
        (
            "Swish, β = 10",
            RGBColor(0, 158, 115),
            2,
            with(&|y| swish(&x, 10.0, y)),
        ),
        (
            "SiLU = Swish, β = 1",
            RGBColor(0, 114, 178),
            3,
            with(&|y| swish(&x, 1.0, y)),
        ),
        (
            "Swish, β = 0.1",
            RGBColor(230, 159, 0),
            2,
            with(&|y| swish(&x, 0.1, y)),
        ),
        (
            "HardSwish",
            RGBColor(213, 94, 0),
            2,
            with(&|y| hard_swish(&x, y)),
        ),
    ];

    let canvas = SVGBackend::new(&path, (WIDTH, HEIGHT)).into_drawing_area();
    canvas.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&canvas)
        .margin(16)
        .x_label_area_size(32)
        .y_label_area_size(40)
        .build_cartesian_2d(-5f32..5f32, -2f32..5f32)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(11)
        .y_labels(8)
        .label_style(("sans-serif", 14))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (name, color, width, y) in curves {
        let style = color.stroke_width(width);
        chart
            .draw_series(LineSeries::new(x.iter().copied().zip(y), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(12)
        .legend_area_size(32)
        .label_font(("sans-serif", 15))
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    canvas.present()?;
    Ok(())
}
