#!/usr/bin/env python3
"""Cycles of hot loops on 64-bit ARM processors as llvm-mca reckons them: ours, from libraries built for ARM, and tract-linalg's.

    bash tests/arm.sh cargo build --release -p onnx-swish-simd -p onnx-swish-kernels -p onnx-swish-conv
    python3 docs/arm.py target/arm/aarch64-unknown-linux-gnu/release [--tract PATH] [--list] [--show NAME]
    python3 docs/arm.py target/arm/aarch64-unknown-linux-gnu/release --registers

Needs llvm-mca (Debian: llvm-22), aarch64-linux-gnu-objdump, and for tract-linalg's loops its sources as Cargo unpacked them and a rustc
that builds for ARM. `--registers` needs objdump alone: it says whether the sums of our products stay in registers, and fails where one does not.
Nothing is run: these are figures of a model of each processor, with every load a hit in the first-level cache.

A loop is known by what it consists of (LOOPS below): the innermost loop, of a function compiled for `neon`, with so many
instructions of each kind. Branches are left out: they are taken as foretold. An instruction that loads or stores and moves its
address on is reckoned as two, which is what processors make of it: LLVM's models would have the next address wait for the data.
"""

import argparse
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CPUS = ["neoverse-n1", "neoverse-v1", "cortex-a76", "cortex-a55", "apple-m1"]
OBJDUMP = shutil.which("aarch64-linux-gnu-objdump") or "objdump"
MCA = next((path for name in ("llvm-mca-22", "llvm-mca") if (path := shutil.which(name))), None)
RUSTC = "/usr/bin/rustc" if pathlib.Path("/usr/bin/rustc").exists() else "rustc"

# Name, library, kinds of instructions and how many of each, how many elements or multiply-adds a turn computes, and which of several
# such loops, from the shortest on.
LOOPS = [
    ("SiLU f32", "kernels", {"fdiv.4s": 4, "fmla.4s": 36, "fcvtl.4s": 0, "facge.4s": 4, "shll.4s": 0}, 16, 0),
    ("SiLU f16", "kernels", {"frecpe.4s": 4, "fcvtl.4s": 4}, 16, 0),
    ("HardSwish f32", "kernels", {"fmin.4s": 4, "fmla.4s": 4, "fcvtl.4s": 0, "fdiv.4s": 0, "shll.4s": 0, "ldp": 2}, 16, 0),
    ("HardSwish f16", "kernels", {"fmin.4s": 4, "fmla.4s": 4, "fcvtl.4s": 4}, 16, 0),
    ("softmax: exponential and sum", "kernels", {"fmax.4s": 4, "fmla.4s": 36, "fdiv.4s": 0}, 16, 0),
    ("table of 256 bytes", "simd", {"tbl.16b": 2, "tbx.16b": 6}, 32, 0),
    ("product, 8 rows by 12 columns", "conv", {"fmla.4s": 24, "fmax.4s": 0}, 96, 0),
    ("the same, of rows at offsets", "conv", {"fmla.4s": 24, "fmax.4s": 0}, 96, 1),
    # With the activations, one of which follows: what is reckoned ends with the last product of the taps.
    ("depthwise 3x3", "conv", {"fmla.4s": 63 + 84}, 7 * 4 * 9, 0),
    ("depthwise 5x5", "conv", {"fmla.4s": 175 + 84}, 7 * 4 * 25, 0),
]


def run(*command, text=None):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def functions(program, wanted):
    """The functions of a program whose demangled name matches: their instructions with addresses."""
    body = None
    for line in run(OBJDUMP, "-d", "--no-show-raw-insn", "-C", str(program)).stdout.splitlines():
        if head := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
            if body:
                yield body
            body = [] if re.search(wanted, head[1]) else None
        elif body is not None and (code := re.match(r"^\s*([0-9a-f]+):\t(.*)$", line)):
            body.append((int(code[1], 16), code[2].split("//")[0].strip()))
    if body:
        yield body


def innermost(body):
    """The loops that have no other inside."""
    index = {address: i for i, (address, _) in enumerate(body)}
    loops = set()
    for i, (_, code) in enumerate(body):
        jump = re.match(r"(?:b\.\w+|cbn?z|tbn?z|b)\s+(?:.*,\s*)?([0-9a-f]+) <", code)
        if jump and index.get(int(jump[1], 16), i + 1) <= i:
            loops.add((index[int(jump[1], 16)], i))
    for first, last in sorted(loops):
        if not any((a, b) != (first, last) and a >= first and b <= last for a, b in loops):
            yield [code for _, code in body[first : last + 1]]


def kinds(codes):
    """How many instructions of each kind: `fmla.4s`, `ldp`."""
    counts = collections.Counter()
    for code in codes:
        name, _, rest = code.partition(" ")
        name, _, rest = code.partition("\t") if "\t" in code else (name, _, rest)
        lanes = re.search(r"v\d+\.(\w+)", rest)
        counts[f"{name}.{lanes[1]}" if lanes and not name.startswith("ld") and not name.startswith("st") else name] += 1
    return counts


def until_products(codes, count):
    """The instructions up to the given number of multiply-adds."""
    places = [i for i, code in enumerate(codes) if code.startswith("fmla")]
    return codes[: places[count - 1] + 1]


def is_jump(code):
    return re.match(r"(b\.\w+|b|bl|cbn?z|tbn?z|ret|prfm)\s", code + " ")


def plain(codes):
    """Loads and stores that move their address on, as a load or store and an addition."""
    for code in codes:
        if after := re.match(r"(.*)\[(x\d+|sp)\],\s*(#?-?\w+)$", code):
            yield f"{after[1]}[{after[2]}]"
            yield f"add {after[2]}, {after[2]}, {after[3]}"
        elif before := re.match(r"(.*)\[(x\d+|sp),\s*(#-?\w+)\]!$", code):
            yield f"add {before[2]}, {before[2]}, {before[3]}"
            yield f"{before[1]}[{before[2]}]"
        else:
            yield code


def cycles(codes, cpu, turns=200):
    """Cycles of one turn among many."""
    text = "\n".join(re.sub(r"\s*<.*>", "", code) for code in plain(codes) if not is_jump(code))
    out = run(MCA, "-mtriple=aarch64", f"-mcpu={cpu}", f"-iterations={turns}", text=text)
    total = re.search(r"Total Cycles:\s+(\d+)", out.stdout)
    if not total:
        sys.exit(f"llvm-mca: {out.stderr[:500]}")
    return int(total[1]) / turns


def ours(folder, listed):
    """The loops of LOOPS in the libraries of a folder. Fails, in the end, where one is not there."""
    libraries, missing = {}, []
    for name, library, wanted, per, which in LOOPS:
        if library not in libraries:
            path = folder / f"libonnx_swish_{library}.rlib"
            pattern = "look_up_bytes" if library == "simd" else "neon"
            libraries[library] = [loop for body in functions(path, pattern) for loop in innermost(body)]
            if listed:
                for loop in libraries[library]:
                    print(library, len(loop), {kind: count for kind, count in kinds(loop).items() if count > 1})
        found = [loop for loop in libraries[library] if all(kinds(loop)[kind] == count for kind, count in wanted.items())]
        found.sort(key=len)
        if which < len(found):
            yield name, until_products(found[which], per // 4) if "depthwise" in name else found[which], per
        else:
            missing.append(name)
    if missing:
        sys.exit(f"not found: {', '.join(missing)}; the loops are no longer what LOOPS says (--list shows what there is)")


def assembly(path, start, end):
    """The lines of a file between two marks, as assembly."""
    text = path.read_text().replace("{{", "{").replace("}}", "}").replace("{ptr}", "x0").replace("{len}", "x1")
    block = text[text.index(start) + len(start) :]
    lines = (line.split("//")[0].strip() for line in block[: block.index(end)].splitlines())
    return [line for line in lines if line and not line.endswith(":")]


def tracts(tract):
    simd, asm = tract / "src/arm64/arm64simd", tract / "arm64/arm64simd"
    yield "SiLU f32", assembly(simd / "silu_fused.rs", "1:", "bge 1b"), 16
    yield "HardSwish f32", assembly(simd / "hardswish.rs", "2:", "bne 2b"), 8
    for tile, macs in (("8x8", 64), ("12x8", 96)):
        for loop in sorted((asm / f"arm64simd_mmm_f32_{tile}").glob("packed_packed_loop*/*.S.raw")):
            codes = assembly_of(loop.read_text())
            turns = sum(code.startswith("fmla") for code in codes) * 4 / macs
            yield f"product {tile}, {loop.parent.name[-5:]}/{loop.name[:-6]}", codes, macs * turns
    yield from compiled(simd / "depthwise.rs", "depthwise", {"fmla.4s": 8}, 32, "depthwise, any taps at stride 1")
    yield from compiled(simd / "softmax_rows.rs", "softmax", {"fcmgt.4s": 2, "fmla.4s": 5 * 2}, 8, "softmax: exponential and sum")


def assembly_of(text):
    lines = (line.split("//")[0].strip().replace("{{", "{").replace("}}", "}") for line in text.splitlines())
    return [line for line in lines if line]


def compiled(source, function, wanted, per, name):
    """A loop of a file of tract's that is Rust, compiled as a release build compiles it."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "lib.rs"
        stubs = "".join(f"macro_rules! {name} {{ ($($t:tt)*) => {{}} }}\n" for name in ("submit_routine", "bail_stub"))
        file.write_text("#![allow(dead_code)]\n" + stubs + source.read_text())
        out = file.with_suffix(".o")
        target = "aarch64-unknown-linux-gnu"
        run(RUSTC, "--edition=2024", "--crate-type=lib", "--emit=obj", "-Copt-level=3", f"--target={target}", str(file), f"-o{out}")
        loops = [loop for body in functions(out, function) for loop in innermost(body)] if out.exists() else []
        loops = [loop for loop in loops if all(kinds(loop)[kind] >= count for kind, count in wanted.items())]
        if loops:
            loop = min(loops, key=len)
            yield name, loop, per
        else:
            print(f"not found: tract's {name}", file=sys.stderr)


def stay_in_registers(folder):
    """Whether the loops of our products touch no stack, where a sum would go for which there is no register."""
    # Those of LOOPS have to be there; whether they are the only ones depends on what the compiler shares.
    wanted = next(wanted for name, _, wanted, _, _ in LOOPS if name.startswith("product"))
    list(ours(folder, False))
    loops = [loop for body in functions(folder / "libonnx_swish_conv.rlib", "neon") for loop in innermost(body)]
    products = [loop for loop in loops if all(kinds(loop)[kind] == count for kind, count in wanted.items())]
    for number, codes in enumerate(products, 1):
        name = f"product {number} of {len(products)}"
        spilled = [code for code in codes if "[sp" in code]
        print(f"{name}: {len(codes)} instructions, {len(spilled)} of them on the stack")
        if spilled:
            sys.exit("a sum of the product leaves its register in every turn:\n" + "\n".join(spilled))


def table(title, loops, show):
    print(f"\n| {title} | instructions | " + " | ".join(CPUS) + " |")
    print("|---|---:|" + "---:|" * len(CPUS))
    for name, codes, per in loops:
        if show and show in name:
            print("\n".join(codes), file=sys.stderr)
        figures = [f"{cycles(codes, cpu) / per:.3f}" for cpu in CPUS]
        print(f"| {name} | {len(codes) / per:.2f} | " + " | ".join(figures) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="the folder of the libraries")
    parser.add_argument("--tract", type=pathlib.Path, help="the unpacked sources of tract-linalg")
    parser.add_argument("--list", action="store_true", help="print what the loops of our libraries consist of")
    parser.add_argument("--show", metavar="NAME", help="print the instructions of loops whose name contains this")
    parser.add_argument("--registers", action="store_true", help="whether the products' sums stay in registers, and nothing else")
    arguments = parser.parse_args()
    if arguments.registers:
        return stay_in_registers(arguments.folder)
    if not MCA:
        sys.exit("llvm-mca is missing: on Debian, apt-get install llvm-22")
    table("ours, cycles per element or multiply-add", ours(arguments.folder, arguments.list), arguments.show)
    sources = arguments.tract or next(pathlib.Path.home().glob(".cargo/registry/src/*/tract-linalg-0.23.9"), None)
    if sources:
        table("tract-linalg 0.23.9", tracts(sources), arguments.show)


if __name__ == "__main__":
    main()
