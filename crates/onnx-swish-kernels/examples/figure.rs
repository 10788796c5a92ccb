//! Draws Swish for β = 0.1, 1 and 10 with ReLU and HardSwish, computed by these kernels.
//!
//!     cargo run -p onnx-swish-kernels --example figure -- docs/activations.svg

use std::error::Error;

use onnx_swish_kernels::{hard_swish, swish};
use plotters::prelude::*;

const WIDTH: u32 = 720;
const HEIGHT: u32 = 480;
/// Pixels of the canvas per pixel of the page: plotters rounds coordinates to whole ones.
const SCALE: u32 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "docs/activations.svg".to_owned());
    let x: Vec<f32> = (-125..=125).map(|i| i as f32 * 0.04).collect();
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

    let mut svg = String::new();
    let canvas =
        SVGBackend::with_string(&mut svg, (WIDTH * SCALE, HEIGHT * SCALE)).into_drawing_area();
    canvas.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&canvas)
        .margin(16 * SCALE)
        .x_label_area_size(32 * SCALE)
        .y_label_area_size(40 * SCALE)
        .build_cartesian_2d(-5f32..5f32, -2f32..5f32)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12).stroke_width(SCALE))
        .axis_style(BLACK.stroke_width(SCALE))
        .x_labels(11)
        .y_labels(8)
        .label_style(("sans-serif", 14 * SCALE))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (name, color, width, y) in curves {
        let style = color.stroke_width(width * SCALE);
        chart
            .draw_series(LineSeries::new(x.iter().copied().zip(y), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24 * SCALE as i32, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(12 * SCALE)
        .legend_area_size(32 * SCALE)
        .label_font(("sans-serif", 15 * SCALE))
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3).stroke_width(SCALE))
        .draw()?;
    canvas.present()?;
    drop((chart, canvas));
    // The view box keeps the fine coordinates; the page sees the size it was meant to have.
    let fine = format!(
        "width=\"{}\" height=\"{}\" viewBox",
        WIDTH * SCALE,
        HEIGHT * SCALE
    );
    let page = format!("width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox");
    std::fs::write(path, svg.replacen(&fine, &page, 1))?;
    Ok(())
}
