"""The same network, the same text, in karenina and in PyTorch: loss and every gradient side by side.

    python examples/pytorch_parity.py --run checkpoints --text opening.txt

It runs `karenina export` for the weights and, with --gradients, for what back-propagation by hand
makes of them; PyTorch loads the weights and differentiates by itself. `karenina trace --json` and
`karenina eval` must tell the same story. Needs torch, safetensors and numpy; exit code 1 if anything
differs by more than 1e-10 in f64 or 1e-5 in f32, relative to the largest number of its tensor.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import torch
from safetensors import safe_open

PRECISIONS = {"f64": (torch.float64, 1e-10), "f32": (torch.float32, 1e-5)}


def read(path):
    """Tensors by name, and what karenina says about them."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        return tensors, json.loads(file.metadata()["karenina"])


class NormalisedLSTM(torch.nn.LSTM):
    """h = o·tanh(c / rms(c)) instead of o·tanh(c): what `sizes["cell_norm"]` says. x [T, V]; returns h of all steps and no state."""

    def forward(self, x):
        for l in range(self.num_layers):
            w_ih, w_hh, b_ih, b_hh = (getattr(self, f"{name}_l{l}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            h = c = x.new_zeros(*x.shape[1:-1], self.hidden_size)
            outputs = []
            for x_t in x:
                z = x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh
                i, f, g, o = z.chunk(4, -1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * (c / (c.square().mean(-1, keepdim=True) + 1e-5).sqrt()).tanh()
                outputs.append(h)
            x = torch.stack(outputs)
        return x, None


class Model(torch.nn.Module):
    """One-hot characters, the LSTM layers, one linear layer."""

    def __init__(self, sizes, dtype):
        super().__init__()
        vocabulary, hidden, layers = sizes["vocabulary"], sizes["hidden"], sizes["layers"]
        lstm = NormalisedLSTM if sizes.get("cell_norm") else torch.nn.LSTM
        self.lstm = lstm(vocabulary, hidden, layers, dtype=dtype)
        self.decoder = torch.nn.Linear(hidden, vocabulary, dtype=dtype)

    def forward(self, one_hot):
        outputs, _ = self.lstm(one_hot)
        return self.decoder(outputs)


def pytorch(weights, card, text, dtype):
    """Mean loss over `text`, and its gradients by autograd."""
    model = Model(card["sizes"], dtype)
    model.load_state_dict(weights)  # strict: no name may be missing or left over
    ids = torch.tensor([card["vocabulary"].index(character) for character in text])
    one_hot = torch.nn.functional.one_hot(ids[:-1], len(card["vocabulary"])).to(dtype)
    loss = torch.nn.functional.cross_entropy(model(one_hot), ids[1:])
    loss.backward()
    return loss.item(), {name: weight.grad for name, weight in model.named_parameters()}


def our_name(name):
    """`w_ih_l0` for `lstm.weight_ih_l0`: the names of `karenina trace`."""
    name = name.replace("decoder.", "projection.").replace("lstm.", "")
    return name.replace("weight_", "w_").replace("bias_ih", "b").replace("weight", "w").replace("bias", "b")


def difference(ours, theirs):
    """The largest difference, relative to the largest number."""
    ours, theirs = (torch.as_tensor(x, dtype=torch.float64) for x in (ours, theirs))
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


class Table:
    """Prints each comparison and remembers whether all held."""

    def __init__(self, tolerance):
        self.tolerance, self.good = tolerance, True

    def row(self, what, error, tolerance=None):
        good = error <= (tolerance or self.tolerance)
        self.good &= good
        print(f"  {what:<42} {error:8.1e}{'' if good else '  TOO LARGE'}")


def compare(run, checkpoint, path, text, precision):
    dtype, tolerance = PRECISIONS[precision]
    with tempfile.TemporaryDirectory() as folder:
        weights, gradients = (pathlib.Path(folder, name) for name in ("weights", "gradients"))
        export = ["export", "--run", checkpoint, "--precision", precision]
        run(*export, "--out", weights)
        run(*export, "--gradients", text, "--out", gradients)
        (weights, card), (ours, their_card) = read(weights), read(gradients)
    loss, theirs = pytorch(weights, card, text, dtype)
    assert ours.keys() == theirs.keys()

    print(f"{precision}: loss {their_card['loss']:.15f}, PyTorch's {loss:.15f}; relative differences")
    table = Table(tolerance)
    table.row("loss", difference(their_card["loss"], loss))
    for name in sorted(theirs):
        table.row(f"gradient of {name}", difference(ours[name], theirs[name]))

    trace = run("trace", "--run", checkpoint, "--precision", precision, "--json", "--", text)
    trace = json.loads(trace)
    table.row("loss of karenina trace", difference(trace["nats"], loss))
    traced = {tensor["name"]: tensor["norm"] for tensor in trace["tensors"]}
    norms = [(traced[our_name(name)], grad.double().norm().item())
             for name, grad in theirs.items() if "bias_hh" not in name]
    worst = max(difference(ours, theirs) for ours, theirs in norms)
    table.row(f"norms of {len(norms)} gradients of karenina trace", worst)

    evaluated = run("eval", path, "--run", checkpoint, "--rows", "1")
    evaluated = float(re.match(r"[0-9.]+", evaluated)[0])
    table.row("loss of karenina eval (four decimals)", abs(evaluated - loss), 0.5001e-4)
    return table.good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", default="checkpoints", help="a run's folder, or one checkpoint")
    parser.add_argument("--text", required=True, help="a UTF-8 file of 2 to 10,000 characters")
    parser.add_argument("--karenina", default="karenina", help="the command")
    arguments = parser.parse_args()
    text = pathlib.Path(arguments.text).read_text(encoding="utf-8-sig")  # line ends become \n

    def run(*words):
        command = [arguments.karenina, *map(str, words)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout

    sizes = f"{len(text)} characters of {arguments.text}"
    print(f"PyTorch {torch.__version__}, {sizes}")
    results = [compare(run, arguments.run, arguments.text, text, p) for p in PRECISIONS]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
