"""Writes what was tried as a document.

Given the rows that try_models.py collected. Promises Markdown that says how it was made, so that anyone can repeat it.
"""

WHY = 220

HEAD = """# Tried on public models

Trained models that others published inside packages of PyPI and npm, none of them made for this project: {models} models of
{packages} packages. `onnx-swish` ran each after fusing it; ONNX Runtime {runtime} ran the original with its optimiser off. Inputs
are random, of the shapes and ranges in [models.json](models.json).

| of {models} models | |
|---|---:|
| {command} loads and runs | {loads} |
| the numbers equal ONNX Runtime's | {equal} |
| as near to ONNX Runtime as ONNX Runtime is to itself | {as_itself} |
| the fused file equals the original in ONNX Runtime | {file_equal} of {files} |
| activations fused | {fused} |
| gates left and explained | {explained} |
| gates neither fused nor explained | {silent} |

Made by

```sh
cargo build --release --workspace --bin onnx-swish
pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
python docs/models/try_models.py
```

which downloads the packages, about 1.3 GB, with pip and npm.

- **equal**: every number of every output is as near as `onnx-swish verify` asks, `|d| <= 1e-4 * largest + 1e-3 * |expected|` in float32.
  **difference** is the largest `|d|` as a part of the output's largest magnitude.
- **as itself**: some models cannot be judged so. In ONNX Runtime itself, 8-bit codes flip, recurrent states run apart and rows of equal
  scores swap when each weight, or each input, is moved by four roundings of float32 (one of float16); these are the models whose
  difference is at most twice what that does.
- **`verify`** is what `onnx-swish verify --against onnxruntime` says of the same inputs; "codes" and "rows" mean that it judged by
  [them](../cli.md#what-verify-judges-by).
- **explained** counts near misses, **silent** the gates that a second, independent search ([gates.py](gates.py)) finds in the fused
  file and that `inspect` does not mention.

"""


def write_table(path, rows, command, runtime):
    tried = [row for row in rows if "unavailable" not in row]
    loaded = [row for row in tried if row.get("loads")]
    files = [row for row in tried if "file_equal" in row]
    text = HEAD.format(
        models=len(tried), packages=len({row["package"] for row in tried}), runtime=runtime, command=command,
        loads=len(loaded), equal=sum(row["equal"] for row in loaded), files=len(files),
        as_itself=sum(row.get("as_itself", False) for row in loaded),
        file_equal=sum(row["file_equal"] for row in files), fused=total(tried, "fused"),
        explained=total(tried, "explained"), silent=sum(len(row.get("silent", [])) for row in tried),
    )  # fmt: skip
    text += "| model | package | size | fused | explained | silent | loads | equal | difference | `verify` | why not |\n"
    text += "|---|---|---:|---|---|---:|---|---|---:|---|---|\n"
    text += "".join(table_row(row) for row in rows)
    text += "\nLicences as the packages state them; nothing of them is kept in this repository.\n\n"
    text += "| package | version | registry | licence |\n|---|---|---|---|\n"
    packages = {row["package"]: row for row in rows}
    for name in sorted(packages, key=str.lower):
        row = packages[name]
        text += f"| {name} | {row['version']} | {'npm' if row['registry'] == 'npm' else 'PyPI'} | {row['licence']} |\n"
    path.write_text(text)


def total(rows, column):
    return sum(sum(row.get(column, {}).values()) for row in rows)


def table_row(row):
    file = row["file"].rpartition("/")[2]
    cells = [row["kind"], f"{row['package']} {row['version']}, `{file}`"]
    if "unavailable" in row:
        return line([*cells, "", "", "", "", "", "", "", "", f"not to be had: {row['unavailable']}"])
    counted = [f"{number} {name}" for name, number in row.get("fused", {}).items()]
    counted += [f"{number} {name} between codes" for name, number in row.get("quantised", {}).items()]
    counted += [f"{number} {name} already" for name, number in row.get("already", {}).items()]
    explained = [f"{number} {reason.replace('_', ' ')}" for reason, number in row.get("explained", {}).items()]
    why = row.get("why", "")
    if row.get("as_itself"):
        why = f"{why}; ONNX Runtime moves by {row['spread']:.1e}"
    if not row.get("file_equal", True):
        why = f"the fused file differs in ONNX Runtime; {why}"
    return line([
        *cells, size(row["bytes"]), ", ".join(counted), ", ".join(explained), str(len(row.get("silent", [])) or ""),
        yes(row.get("loads")), "as itself" if row.get("as_itself") else yes(row.get("equal")),
        f"{row['difference']:.1e}" if "difference" in row else "", row.get("verify", ""),
        why if len(why) <= WHY else f"{why[:WHY].rstrip()}...",
    ])  # fmt: skip


def line(cells):
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def size(count):
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def yes(answer):
    return {True: "yes", False: "no"}.get(answer, "")
