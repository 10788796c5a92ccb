//! A document as one HTML file.
//! Given: a document.
//! Promises: the file asks for nothing from anywhere, and says so in a policy that browsers enforce; what comes from a model stays data:
//! it is JSON in a script that is not run, without any `<`, and the drawing code makes text of it and never markup.

use crate::assets;
use crate::document::{Document, Kind};
use crate::packed::packed;

/// The file.
pub fn html(document: &Document) -> String {
    let value = serde_json::to_value(document).unwrap_or_default();
    let data = embedded(&packed(&value).to_string());
    let title = match document.kind {
        Kind::Report => "onnx-swish report",
        Kind::Diff => "onnx-swish diff",
    };
    let name = document.before.model.as_deref().unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let title = escaped(format!("{name} – {title}").trim_start_matches(" – "));
    [
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n",
        // Without an icon of its own a browser asks the server for one.
        "<link rel=\"icon\" href=\"data:,\">\n",
        "<title>",
        &title,
        "</title>\n<style>\n",
        assets::STYLE,
        "</style>\n</head>\n<body>\n<main id=\"document\"></main>\n",
        "<noscript><p>This report is drawn by JavaScript that is inside this file; nothing is loaded from elsewhere.</p></noscript>\n",
        "<script type=\"application/json\" id=\"data\">",
        &data,
        "</script>\n<script>\n",
        assets::DAGRE,
        "</script>\n<script>\n",
        assets::DRAW,
        "</script>\n<script>\n",
        assets::VIEW,
        "</script>\n<script>\n",
        assets::UNPACK,
        "onnxSwish.document = onnxSwish.unpack(JSON.parse(window.document.getElementById(\"data\").textContent));\n",
        "onnxSwish.show(onnxSwish.document, window.document.getElementById(\"document\"));\n",
        "</script>\n</body>\n</html>\n",
    ]
    .concat()
}

/// JSON that cannot end the script that it stands in, whatever names there are in it.
fn embedded(json: &str) -> String {
    json.replace('<', "\\u003c")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
