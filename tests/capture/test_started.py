"""What command lines start: those that people post of engines, torchrun, MPI, Slurm, Ray and containers.

The commands are shortened; what is held is what they mean for a capture.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from nsysan._errors import NsysanError
from nsysan.capture.command import Request, plan_capture
from nsysan.capture.nsys import Abilities, Nsys
from nsysan.capture.placement import check_place, notes_before, seat_of
from nsysan.capture.server import address_of
from nsysan.capture.started import Workload, expected_ranks, read_workload
from nsysan.capture.starters import load_starters
from tests.clitools import run_cli

NSYS = Nsys(Path("nsys"), (2025, 3, 2))
ABLE = Abilities(frozenset({"cuda", "nvtx"}), frozenset({"--trace", "--trace-fork-before-exec"}), frozenset())
SPAWN = {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
V, S, T = "vLLM", "SGLang", "TensorRT-LLM"


@dataclass(frozen=True)
class Posted:
    """A command line and what holds of it. inside: what works instead, where its ranks are elsewhere."""

    line: str
    engine: str | None
    ranks: int | None
    world: int | None = None
    server: bool = False
    inside: str = ""
    refused: bool = False


def inside(line: str) -> str:
    return line.replace("NSYSAN", "nsysan capture -o run1 --")


POSTED = [
    # vLLM
    Posted("vllm serve M -tp 8", V, 8, server=True),
    Posted("vllm serve M -tp=4 -pp=2", V, 8, server=True),
    Posted("vllm serve M --tensor-parallel-size 2 --data-parallel-size 4", V, 8, server=True),
    Posted("vllm serve M -tp 2 -dp 8 --data-parallel-size-local 4 --data-parallel-address h", V, 8, 16, server=True),
    Posted("vllm serve M -tp 2 -dp 4 --data-parallel-rank 1", V, 2, 8, server=True),
    Posted("vllm serve M -tp 8 -pp 2 --nnodes 2 --node-rank 0 --master-addr h", V, 8, 16, server=True),
    Posted("python -m vllm.entrypoints.openai.api_server --model M --tensor-parallel-size 4", V, 4, server=True),
    Posted("python3 offline_inference.py", V, None),
    Posted("python benchmarks/benchmark_throughput.py --model M -tp=4", V, 4),
    Posted("python vllm/examples/offline_inference/basic.py", V, None),
    Posted("vllm bench latency --model M --tensor_parallel_size 2 --batch-size 8", V, 2),
    Posted("env CUDA_VISIBLE_DEVICES=0,1 vllm serve M -tp 2", V, 2, server=True),
    Posted("numactl --cpunodebind=0 --membind=0 uv run --python 3.12 vllm serve M -tp 2", V, 2, server=True),
    Posted("timeout -k 5 600 taskset -c 0-31 vllm bench throughput --model M -tp 4", V, 4),
    Posted("conda run -n serving --no-capture-output vllm serve M -tp 4", V, 4, server=True),
    Posted("./venv/bin/vllm serve M --tensor-parallel-size=4", V, 4, server=True),
    Posted("bash -lc 'source activate x && CUDA_VISIBLE_DEVICES=0,1 vllm serve M -tp 2'", V, 2, server=True),
    Posted(
        "env -i PATH=/usr/bin HOME=/root vllm serve M --tensor_parallel_size 2",
        V,
        2,
        server=True,
        inside="env -i PATH=/usr/bin HOME=/root NSYSAN vllm serve M --tensor_parallel_size 2",
    ),
    Posted("sudo -E vllm serve M -tp 2", V, 2, server=True, inside="sudo -E NSYSAN vllm serve M -tp 2"),
    Posted("taskset ff timeout -s INT 60s /usr/bin/time -v vllm bench latency --model M -tp 2 -pp 2", V, 4),
    Posted("bash -c 'export TP=4; PP=2; vllm serve M -tp ${TP} -pp $PP'", V, 8, server=True),
    Posted("salloc -N1 --gres=gpu:8 vllm serve M -tp 4 -dp 2", V, 8, server=True),
    Posted("nohup strace -f vllm serve M -tp 2", V, 2, server=True),
    Posted("bash -c 'cd /models && vllm serve M -tp 4 2>&1 | tee log'", V, 4, server=True),
    Posted("vllm bench serve --model M --num-prompts 100", V, None, refused=True),
    # SGLang
    Posted("python3 -m sglang.launch_server --model-path M --tp 8", S, 8, server=True),
    Posted("python3 -m sglang.launch_server --model-path M --tp 8 --dp 8 --enable-dp-attention", S, 8, server=True),
    Posted("python3 -m sglang.launch_server --model-path M --tp 4 --dp-size 2", S, 8, server=True),
    Posted("python3 -m sglang.launch_server --model-path M --tp 16 --nnodes 2 --node-rank 1", S, 8, 16, server=True),
    Posted("poetry run python -m sglang.launch_server --model-path M --tp 2 --dp 2", S, 4, server=True),
    Posted("python3 -m sglang_router.launch_server --model-path M --dp-size 4 --tp 2", S, 8, server=True),
    Posted("python3 -m sglang.bench_one_batch --model-path M --batch 32 --tp-size 4", S, 4),
    Posted("python3 -m sglang.bench_serving --backend sglang --num-prompt 10", S, None, refused=True),
    # TensorRT-LLM
    Posted("trtllm-bench --model M throughput --dataset d --tp 4 --pp 2", T, 8),
    Posted("trtllm-serve M --tp_size 8 --ep_size 8", T, 8, server=True),
    Posted("mpirun -n 8 --allow-run-as-root --oversubscribe trtllm-llmapi-launch trtllm-bench --model M --tp 8", T, 8),
    # launchers of processes
    Posted("torchrun --nproc-per-node=4 decode.py --tp 4", None, 4),
    Posted("torchrun --standalone --nproc_per_node 8 -m package.generate", None, 8),
    Posted("torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-endpoint=h:29500 g.py", None, 8, 16),
    Posted("python -m torch.distributed.launch --nproc_per_node=2 x.py", None, 2),
    Posted("torchrun gen.py", None, 1),
    Posted("accelerate launch --num_processes 4 gen.py", None, 4),
    Posted("deepspeed --num_gpus 2 gen.py", None, 2),
    Posted("deepspeed --include localhost:0,1 gen.py", None, None),
    Posted("mpirun -x LD_LIBRARY_PATH -x NCCL_DEBUG=INFO python decode.py", None, None),
    Posted("mpirun -np 4 -x NCCL_DEBUG=INFO --bind-to none python decode.py --tp 4", None, 4),
    Posted(
        "mpirun -np 16 -H a:8,b:8 -mca pml ob1 python d.py",
        None,
        8,
        16,
        inside="mpirun -np 16 -H a:8,b:8 -mca pml ob1 NSYSAN python d.py",
    ),
    Posted("srun -n8 python decode.py --tp 8", None, 8, inside="srun -n8 NSYSAN python decode.py --tp 8"),
    Posted(
        "srun -N 2 --ntasks-per-node=8 --mpi=pmix trtllm-llmapi-launch trtllm-serve M --tp_size 16",
        T,
        8,
        16,
        server=True,
        inside="srun -N 2 --ntasks-per-node=8 --mpi=pmix NSYSAN trtllm-llmapi-launch trtllm-serve M --tp_size 16",
    ),
    Posted(
        "srun --nodes=2 --ntasks-per-node=1 torchrun --nnodes=2 --nproc-per-node=8 g.py",
        None,
        8,
        16,
        inside="srun --nodes=2 --ntasks-per-node=1 NSYSAN torchrun --nnodes=2 --nproc-per-node=8 g.py",
    ),
    # containers, other machines, other starters
    Posted(
        "docker run --gpus all --ipc=host -p 8000:8000 vllm/vllm-openai:latest --model M -tp 2",
        V,
        2,
        server=True,
        inside="docker run --gpus all --ipc=host -p 8000:8000 --entrypoint nsysan vllm/vllm-openai:latest "
        "capture -o run1 -- vllm serve --model M -tp 2",
        refused=True,
    ),
    Posted(
        "docker run --rm -it --gpus all nvcr.io/nvidia/tensorrt-llm/release:1 trtllm-serve M --tp_size 8",
        T,
        8,
        server=True,
        inside="docker run --rm -it --gpus all nvcr.io/nvidia/tensorrt-llm/release:1 NSYSAN trtllm-serve M --tp_size 8",
        refused=True,
    ),
    Posted(
        "sudo docker run --gpus all --network=host vllm/vllm-openai:v0.22.1 M --tensor-parallel-size 2",
        V,
        2,
        server=True,
        inside="sudo docker run --gpus all --network=host --entrypoint nsysan vllm/vllm-openai:v0.22.1 "
        "capture -o run1 -- vllm serve M --tensor-parallel-size 2",
        refused=True,
    ),
    Posted(
        "docker run -it --entrypoint /bin/bash vllm/vllm-openai -c 'vllm serve M -tp 2'",
        V,
        2,
        server=True,
        inside="docker run -it --entrypoint nsysan vllm/vllm-openai capture -o run1 -- "
        "/bin/bash -c 'vllm serve M -tp 2'",
        refused=True,
    ),
    Posted("docker-compose up -d", None, None, inside="NSYSAN COMMAND, as what the container runs", refused=True),
    Posted(
        "enroot start --mount /a:/a img vllm serve M -tp 2",
        V,
        2,
        server=True,
        inside="enroot start --mount /a:/a img NSYSAN vllm serve M -tp 2",
    ),
    Posted(
        "ssh -p 22 user@node 'cd x && vllm serve M -tp 8'",
        V,
        8,
        server=True,
        inside="ssh -p 22 user@node NSYSAN 'sh -c '\"'\"'cd x && vllm serve M -tp 8'\"'\"''",
        refused=True,
    ),
    Posted(
        "docker exec -it c1 vllm serve M -tp 2",
        V,
        2,
        server=True,
        inside="docker exec -it c1 NSYSAN vllm serve M -tp 2",
        refused=True,
    ),
    Posted(
        "kubectl exec -it pod-0 -n ns -- vllm bench latency -tp 8",
        V,
        8,
        inside="kubectl exec -it pod-0 -n ns -- NSYSAN vllm bench latency -tp 8",
        refused=True,
    ),
    Posted(
        "singularity exec --nv img.sif python decode.py --tp 4",
        None,
        4,
        inside="singularity exec --nv img.sif NSYSAN python decode.py --tp 4",
    ),
    Posted(
        "ray job submit --address http://h:8265 -- python decode.py --tp 4",
        None,
        4,
        inside="ray job submit --address http://h:8265 -- NSYSAN python decode.py --tp 4",
        refused=True,
    ),
    Posted(
        "tmux new -d -s x 'vllm serve M -tp 2'",
        V,
        2,
        server=True,
        inside="tmux new -d -s x NSYSAN sh -c 'vllm serve M -tp 2'",
        refused=True,
    ),
    Posted(
        "ray job submit python decode.py",
        None,
        None,
        inside="NSYSAN COMMAND, in place of the command that it is given",
        refused=True,
    ),
    Posted("ssh node1 vllm serve M -tp 8", V, 8, server=True, inside="ssh node1 NSYSAN vllm serve M", refused=True),
    Posted("sbatch -N 2 job.sh", None, None, inside="in the script: srun NSYSAN COMMAND", refused=True),
    Posted(
        "nsys profile -o x -t cuda,nvtx --cuda-graph-trace=node vllm serve M -tp 2",
        V,
        2,
        server=True,
        inside="NSYSAN vllm serve M -tp 2",
        refused=True,
    ),
    Posted(
        "srun -N 2 -n 16 bash -c 'trtllm-llmapi-launch trtllm-bench --model M throughput --tp 16'",
        T,
        8,
        16,
        inside="srun -N 2 -n 16 NSYSAN bash -c 'trtllm-llmapi-launch trtllm-bench --model M throughput --tp 16'",
    ),
    Posted(
        "srun --mpi=pmix -n 8 nsys profile -o r trtllm-llmapi-launch trtllm-bench --tp 8",
        T,
        8,
        inside="NSYSAN trtllm-llmapi-launch trtllm-bench --tp 8",
        refused=True,
    ),
    Posted("docker compose up", None, None, inside="NSYSAN COMMAND, as what the container runs", refused=True),
    Posted(
        "docker compose exec -T engine python -m sglang.launch_server --tp 2",
        S,
        2,
        server=True,
        inside="docker compose exec -T engine NSYSAN python -m sglang.launch_server --tp 2",
        refused=True,
    ),
    Posted("python3 -m dynamo.vllm --model M --tensor-parallel-size 4", V, 4, server=True),
    Posted("python3 -m tensorrt_llm.commands.serve M --tp_size 4", T, 4, server=True),
    Posted("uvx --from vllm vllm bench latency -tp 2", V, 2),
    Posted("python3 -m vllm.entrypoints.cli.main serve M -tp 2", V, 2, server=True),
]


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VLLM_WORKER_MULTIPROC_METHOD", "SLURM_JOB_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)


def told(workload: Workload, **options: object) -> str:
    """What is said, or refused, before a run."""
    given = {"whole": True, "duration": None, **options}
    try:
        check_place(workload, Path("run1"))
    except NsysanError as error:
        return f"refused: {error}"
    return "\n".join(notes_before(workload, Path("run1"), **given))  # type: ignore[arg-type]


@pytest.mark.parametrize("posted", POSTED, ids=lambda posted: posted.line)
def test_command_lines_that_people_post(posted: Posted) -> None:
    words = tuple(shlex.split(posted.line))
    workload = read_workload(words, {})
    assert (workload.engine and workload.engine.name) == posted.engine
    assert (workload.ranks, workload.world) == (posted.ranks, posted.world or posted.ranks)
    assert workload.server == posted.server
    said = told(workload)
    assert said.startswith("refused: ") == posted.refused
    assert inside(posted.inside) in said
    assert bool(workload.elsewhere) == bool(posted.inside)
    assert ("collects a window" in said) == (posted.server and not posted.refused)
    if workload.elsewhere is None:
        assert ("every node" in said) == (workload.world != workload.ranks)
    plan = plan_capture(Request(words), NSYS, ABLE, Path("t"))
    assert plan.argv == ["nsys", "profile", "--trace=cuda,nvtx", "--trace-fork-before-exec=true", "--output=t", *words]
    assert plan.environment == (SPAWN if posted.engine == V else {})


def test_a_ray_executor_names_rays_own_option() -> None:
    workload = read_workload(shlex.split("vllm serve M -tp 16 --distributed-executor-backend ray"), {})
    assert workload.ray
    for word in ("--ray-workers-use-nsight", '{"nsight": "default"}', "/tmp/ray/session_latest/logs/nsight"):
        assert word in told(workload)


def test_a_server_in_a_window_or_a_short_time_is_no_matter() -> None:
    workload = read_workload(("vllm", "serve", "M", "-tp", "4"), {})
    assert "1.0 to 3.1 GB" in told(workload)
    assert told(workload, whole=False) == told(workload, duration=20) == ""


@pytest.mark.parametrize(
    ("line", "environment", "away"),
    [
        ("mpirun -n 8 python d.py", {"SLURM_JOB_NUM_NODES": "2"}, True),
        ("mpirun -n 8 python d.py", {"SLURM_JOB_NUM_NODES": "1"}, False),
        ("mpirun -n 8 -H localhost:8 python d.py", {}, False),
    ],
)
def test_mpirun_of_several_nodes_starts_ranks_elsewhere(line: str, environment: dict[str, str], away: bool) -> None:
    assert bool(read_workload(line.split(), environment).elsewhere) == away


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("decode.py --tp 8", 8),
        ("decode.py --tp=8", 8),
        ("engine --tensor_parallel_size=2", 2),
        ("decode.py --tp", 16),
        ("decode.py --tp auto", 16),
        ("decode.py --tpot 3 --http 8", 16),
        ("decode.py", 16),
        ("torchrun --nproc-per-node=gpu decode.py", 16),
        ("env", 16),
        ("python", 16),
        ("bash", 16),
        ("uv run", 16),
    ],
)
def test_expected_ranks(command: str, expected: int) -> None:
    assert expected_ranks(tuple(command.split()), {"WORLD_SIZE": "16"}) == expected
    assert expected_ranks(("decode.py",), {"WORLD_SIZE": "many"}) is None


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        # In traces of vLLM 0.22.1 (TP, DP x TP) and SGLang 0.5.16.
        ("vllm VLLM::APIServer VLLM::DPCoordin VLLM::EngineCor VLLM::Worker VLLM::Worker_TP", V),
        ("sglang::schedul sglang::detoken", S),
        ("trtllm-serve trtllm-bench trtllm-llmapi-l", T),
        ("python3 nsys ZMQbg/IO/0 pt_nccl_watchdg [NSys]", None),
    ],
)
def test_names_of_processes_tell_the_engine(names: str, engine: str | None) -> None:
    for name in names.split():
        assert [one.name for one in load_starters().engines if one.workers.search(name)] == [engine][
            : engine is not None
        ]


# --- scripts ---------------------------------------------------------------------------------------------------------


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


def test_a_python_script_tells_its_engine_and_size(tmp_path: Path) -> None:
    guarded = script(
        tmp_path,
        "a.py",
        "from vllm import LLM\nif __name__ == '__main__':\n    LLM('M', tensor_parallel_size=4).generate('x')\n",
    )
    plan = plan_capture(Request(("python3", "-u", guarded)), NSYS, ABLE, Path("t"))
    assert plan.environment == SPAWN
    assert expected_ranks(("python3", guarded), {}) == 4
    assert expected_ranks(("python3", guarded, "-tp", "2"), {}) == 2
    plain = script(tmp_path, "b.py", "from vllm import LLM\nLLM('M', tensor_parallel_size=4).generate('x')\n")
    plan = plan_capture(Request(("python3", plain)), NSYS, ABLE, Path("t"))
    assert plan.environment == {}
    assert any("__main__" in note and "=spawn" in note for note in plan.notes)
    other = script(tmp_path, "c.py", "import sglang as sgl\nsgl.Engine(tp_size=2)\n")
    assert read_workload(("python", other), {}).ranks == 2


def test_a_shell_script_is_looked_into(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        "serve.sh",
        '#!/bin/bash\nset -e\nTP=4\nexport VLLM_USE_V1=1\nif [ -n "$1" ]; then echo hi; fi\n'
        'python -c "print(1)"\nexec vllm serve "$MODEL" \\\n  -tp "${TP:-8}" "$@" &\ncurl localhost\n',
    )
    workload = read_workload(("bash", path, "-pp", "2"), {})
    assert (workload.engine and workload.engine.name, workload.ranks, workload.server) == (V, 8, True)
    assert "in serve.sh: vLLM, 8 ranks" in told(workload)
    assert plan_capture(Request((path,)), NSYS, ABLE, Path("t")).environment == SPAWN
    kept = script(
        tmp_path, "kept.sh", 'N=2 # GPUs\nCMD="vllm serve M \\\n  --tensor-parallel-size $N"\nexport A=1\neval $CMD\n'
    )
    assert read_workload(("sh", kept), {}).ranks == 2
    launched = script(tmp_path, "job.slurm", "srun -N 2 --ntasks-per-node=4 python decode.py --tp 8\n")
    workload = read_workload(("bash", launched), {})
    assert workload.elsewhere
    assert not told(workload).startswith("refused")
    assert inside("srun -N 2 --ntasks-per-node=4 NSYSAN python decode.py --tp 8") in told(workload)


def test_of_several_commands_the_one_with_ranks_counts(tmp_path: Path) -> None:
    path = script(tmp_path, "a.sh", "srun hostname\nvllm bench serve --model M\npython d.py --tp 4\n")
    assert told(read_workload(("sh", path), {})) == "in a.sh: 4 ranks"
    words = ("bash", "-c", "vllm bench serve --model M & vllm serve M -tp 2")
    assert (read_workload(words, {}).client, read_workload(words, {}).ranks) == (False, 2)


def test_scripts_that_cannot_be_looked_into_are_no_matter(tmp_path: Path) -> None:
    itself = tmp_path / "loop.sh"
    itself.write_text(f"#!/bin/sh\nsh {itself}\nbash -c 'sh {itself}'\n'unfinished\n", "utf-8")
    (tmp_path / "binary.py").write_bytes(b"import vllm\0")
    (tmp_path / "large.py").write_text("import vllm\n" + "#" * 300_000, "utf-8")
    for words in (("sh", str(itself)), ("python", str(tmp_path / "binary.py")), ("python", str(tmp_path / "large.py"))):
        assert read_workload(words, {}).engine is None
    assert read_workload(("bash", str(tmp_path)), {}) == Workload()


def test_a_configuration_tells_sizes(tmp_path: Path) -> None:
    path = script(tmp_path, "c.yaml", "tensor-parallel-size: 4 # of them\npipeline_parallel_size: 2\nport: 9001\n")
    assert expected_ranks(("vllm", "serve", "M", "--config", path), {}) == 8
    assert expected_ranks(("vllm", "serve", "M", "--config", path, "-tp", "8"), {}) == 16
    assert address_of(read_workload(("vllm", "serve", "M", "--config", path), {})) == "http://127.0.0.1:9001"
    short = script(tmp_path, "s.yaml", "tp: 4\ndp-size: 2\n")
    assert expected_ranks(("python", "-m", "sglang.launch_server", "--config", short), {}) == 8


def test_what_the_command_sets_is_left_to_it() -> None:
    words = shlex.split("env VLLM_WORKER_MULTIPROC_METHOD=fork vllm serve M -tp 2")
    assert plan_capture(Request(tuple(words)), NSYS, ABLE, Path("t")).environment == {}


# --- inside a launcher -----------------------------------------------------------------------------------------------


def step(number: int, tasks: int) -> dict[str, str]:
    """What srun sets for a task of its step."""
    return {"SLURM_PROCID": str(number), "SLURM_NTASKS": str(tasks), "SLURM_STEP_NUM_TASKS": str(tasks)}


@pytest.mark.parametrize(
    ("line", "environment", "expected"),
    [
        ("decode.py", {}, None),
        ("decode.py", {"RANK": "3", "WORLD_SIZE": "4"}, ("_rank_3", "_rank_*")),
        ("decode.py --tp 8", step(0, 8), ("_rank_0", "_rank_*")),
        # A batch script is no task, whatever it starts, nor is the shell of an interactive job.
        ("decode.py --tp 8", {"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, None),
        ("torchrun --nproc-per-node 8 x.py", {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_STEP_ID": "-5"}, None),
        ("vllm serve M -tp 8", {**step(0, 1), "SLURM_NTASKS": "8"}, None),
        (
            "decode.py",
            {"SLURM_NODEID": "0", "SLURM_NNODES": "2", "RANK": "3", "WORLD_SIZE": "4"},
            ("_rank_3", "_rank_*"),
        ),
        ("decode.py", {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "8"}, ("_rank_1", "_rank_*")),
        ("decode.py", {"PMI_RANK": "1", "PMI_SIZE": "8"}, ("_rank_1", "_rank_*")),
        ("decode.py", {"RANK": "0", "WORLD_SIZE": "1"}, None),
        ("decode.py", {"RANK": "0"}, None),
        ("decode.py", {"WORLD_SIZE": "4"}, None),
        ("decode.py", {"RANK": "-1", "WORLD_SIZE": "4"}, None),
        # srun of one task that starts torchrun: the inner launcher counts.
        (
            "decode.py",
            {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", "RANK": "2", "WORLD_SIZE": "4"},
            ("_rank_2", "_rank_*"),
        ),
        (
            "decode.py --tp 16",
            {**step(9, 16), "SLURM_NODEID": "1", "SLURM_STEP_NUM_NODES": "2"},
            ("_node_1_rank_9", "_node_*_rank_*"),
        ),
        # One process a node, which starts the ranks of the node.
        (
            "torchrun --nnodes 2 --nproc-per-node 8 decode.py",
            step(1, 2),
            ("_node_1", "_node_*"),
        ),
        # What starts several is none of them, though it starts as many.
        ("mpirun -np 2 decode.py", step(1, 2), ("_node_1", "_node_*")),
        (
            "python -m sglang.launch_server --tp 16 --nnodes 2 --node-rank 1",
            {**step(1, 2), "SLURM_STEP_TASKS_PER_NODE": "1(x2)"},
            ("_node_1", "_node_*"),
        ),
        # As many as the command's options speak of: a rank each, one on a node.
        (
            "decode.py --tp 2",
            {**step(1, 2), "SLURM_STEP_TASKS_PER_NODE": "1(x2)"},
            ("_rank_1", "_rank_*"),
        ),
    ],
)
def test_names_inside_a_launcher(line: str, environment: dict[str, str], expected: tuple[str, str] | None) -> None:
    seat = seat_of(read_workload(line.split(), environment), environment)
    assert (seat and (seat.ending, seat.merge)) == expected


def test_what_is_refused_is_refused_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_cli(capsys, "capture", "--nsys", "none", "--dry-run", "--", "docker", "run", "image", "x")
    assert result.code == 21
    assert "docker run image nsysan capture -o trace -- x" in result.err
