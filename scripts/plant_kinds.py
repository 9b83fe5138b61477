"""Kinds of secret for plant.py: made up from parts when they are asked for, so that no file holds one."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

LETTERS = string.ascii_letters + string.digits
#: What the planted trace itself tells of its machine and user.
HOST, DOMAIN, SIBLING, USER = "raccoon07", "hive.example", "raccoon12", "wesker"


@dataclass(frozen=True)
class Kind:
    """One kind of secret: a text that holds it, and the parts of the text that must not be in any output."""

    name: str
    text: str
    tells: tuple[str, ...]


class Made:
    """Random parts of secrets, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def word(self, length: int, letters: str = LETTERS) -> str:
        """Letters by chance, digits and both cases among them where there are some."""
        while True:
            found = "".join(self._random.choices(letters, k=length))
            wanted = [
                set(kind) & set(letters) for kind in (string.digits, string.ascii_uppercase, string.ascii_lowercase)
            ]
            if all(sum(c in kind for c in found) * 16 >= min(length, 48) for kind in wanted if kind):
                return found

    def hexadecimal(self, length: int) -> str:
        return self.word(length, "0123456789abcdef")

    def number(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def lines(self, count: int) -> list[str]:
        return [self.word(64, LETTERS + "+/") for _ in range(count)]

    def pairs(self, count: int, sign: str = ":") -> str:
        return sign.join(["02", *(f"{self.number(160, 255):02x}" for _ in range(count - 1))])

    def uuid(self) -> str:
        return "-".join(self.hexadecimal(n) for n in (8, 4, 4, 4, 12))


def kinds(seed: int = 0) -> list[Kind]:
    """All kinds, in a fixed order."""
    made = Made(seed)
    found = [Kind(name, text, (text,)) for name, text in _plain(made)]
    return found + [make(made) for make in _OTHERS]


def _plain(made: Made) -> list[tuple[str, str]]:
    """Kinds of which the whole text is the secret."""
    word, number, hexadecimal = made.word, made.number, made.hexadecimal
    upper = string.ascii_uppercase + "234567"
    return [
        ("OpenAI key", "sk-" + word(20) + "T3Blbk" + "FJ" + word(20)),
        ("OpenAI project key", "sk-" + "proj-" + word(74, LETTERS + "_-")),
        ("Anthropic key", "sk-" + "ant-api03-" + word(93, LETTERS + "_-") + "AA"),
        ("AWS access key id", "AKI" + "A" + word(16, upper)),
        ("AWS temporary key id", "ASI" + "A" + word(16, upper)),
        ("AWS secret key, bare", word(40, LETTERS + "+/")),
        ("Hugging Face token", "hf" + "_" + word(34)),
        ("GitHub token", "gh" + "p_" + word(36)),
        ("GitHub OAuth token", "gh" + "o_" + word(36)),
        ("GitHub fine-grained token", "github" + "_pat_" + word(22) + "_" + word(59)),
        ("GitLab token", "glp" + "at-" + word(20, LETTERS + "_-")),
        ("Slack bot token", "xox" + f"b-{number(10**11, 10**12)}-{number(10**11, 10**12)}-" + word(24)),
        ("Google API key", "AIz" + "a" + word(35, LETTERS + "_-")),
        ("Stripe key", "sk" + "_live_" + word(24)),
        ("SendGrid key", "S" + "G." + word(22, LETTERS + "_-") + "." + word(43, LETTERS + "_-")),
        ("Twilio key", "S" + "K" + hexadecimal(32)),
        ("npm token", "np" + "m_" + word(36)),
        ("PyPI token", "py" + "pi-AgEIcHlwaS5vcmc" + word(80, LETTERS + "_-")),
        ("Docker Hub token", "dckr" + "_pat_" + word(27, LETTERS + "_-")),
        ("NVIDIA NGC key", "nv" + "api-" + word(64, LETTERS + "_-")),
        ("Groq key", "gs" + "k_" + word(52)),
        ("Telegram bot token", f"{number(10**9, 9 * 10**9)}:" + word(35, LETTERS + "_-")),
        ("Discord token", "M" + word(23) + "." + word(6, LETTERS + "_-") + "." + word(27, LETTERS + "_-")),
        ("Datadog key, bare", hexadecimal(32)),
        ("IPv4", f"10.{number(20, 250)}.{number(100, 250)}.{number(100, 250)}"),
        ("IPv6", f"2001:db8:{hexadecimal(4)}::{number(2, 9)}:{hexadecimal(4)}"),
        ("IPv6 of a link", f"fe80::{hexadecimal(4)}:{hexadecimal(4)}:{hexadecimal(4)}:{hexadecimal(4)}"),
        ("MAC", made.pairs(6)),
        ("MAC with hyphens", made.pairs(6, "-")),
        ("InfiniBand GUID", "506b:4b03:00" + word(2, "abcdef") + f":{hexadecimal(4)}"),
        ("InfiniBand GUID, one word", "0x506b4b0300" + hexadecimal(6)),
        ("domain name", f"gpu17.{word(8, string.ascii_lowercase)}.corp.example"),
        ("domain name with a hyphen", f"login1.hpc.uni-{word(6, string.ascii_lowercase)}.de"),
        ("host of the trace", HOST),
        ("host of the trace, whole", f"{HOST}.{DOMAIN}"),
        ("host beside that of the trace", SIBLING),
        ("node", f"node-{number(17, 99)}"),
        ("node with a GPU's name", f"gpu-a100-0{number(1, 9)}"),
        ("node of AWS", f"ip-10-{number(20, 250)}-{number(100, 250)}-{number(100, 250)}"),
        ("pod", f"llama-server-{word(9, 'bcdf456789')}-{word(5, 'bcdfghjklm2456789')}"),
        ("service of Kubernetes", "llama-api.team-blue.svc.cluster.local"),
        ("nodes of a job", "node[01-04,17]"),
        ("container", hexadecimal(64)),
        ("image of a registry", f"registry.{word(7, string.ascii_lowercase)}.example:5000/team/llm:1.2"),
        ("image of ECR", f"{number(10**11, 10**12)}.dkr.ecr.us-east-1.amazonaws.com/llm:prod"),
        ("mail address", f"jill.{word(8, string.ascii_lowercase)}@corp.example"),
        ("user of the trace", USER),
        ("GPU UUID", f"GPU-{made.uuid()}"),
        ("UUID", made.uuid()),
        ("bucket of S3", f"s3://{word(9, string.ascii_lowercase)}-models/llama/weights.bin"),
        ("bucket of Google", f"gs://{word(9, string.ascii_lowercase)}-models/llama"),
        ("bucket of Azure", f"abfss://{word(8, string.ascii_lowercase)}@store.dfs.core.windows.net/llama"),
        ("short bucket of Azure", f"az://{word(9, string.ascii_lowercase)}/llama"),
        ("Slack webhook", f"https://hooks.slack.com/services/T{word(9, upper)}/B{word(9, upper)}/{word(24)}"),
        ("telephone number", f"+49 {number(151, 179)} {number(100, 999)} {number(1000, 9999)}"),
    ]  # fmt: skip


def _assigned(name: str, form: str, length: int, letters: str = LETTERS) -> Callable[[Made], Kind]:
    def make(made: Made) -> Kind:
        value = made.word(length, letters)
        return Kind(name, form.format(value), (value,))

    return make


def _key(name: str, kind: str, *, joined: str = "\n") -> Callable[[Made], Kind]:
    def make(made: Made) -> Kind:
        lines = made.lines(4)
        begin, end = (f"-----{word} {kind}-----" for word in ("BEGIN", "END"))
        return Kind(name, joined.join([begin, *lines, end]), tuple(line[:24] for line in lines))

    return make


def _service_account(made: Made) -> Kind:
    body, project, key_id = made.word(64), f"{made.word(8, string.ascii_lowercase)}-prod", made.hexadecimal(40)
    key = "-----BEGIN " + f"PRIVATE KEY-----\n{body}\n-----END " + "PRIVATE KEY-----\n"
    told = {"type": "service_account", "project_id": project, "private_key_id": key_id, "private_key": key,
            "client_email": f"bot@{project}.iam.gserviceaccount.com"}  # fmt: skip
    return Kind("Google service account", json.dumps(told), (body, project, key_id))


def _jwt(made: Made) -> Kind:
    head, body = ({"alg": "HS256", "typ": "JWT"}, {"sub": made.word(12), "name": "Jill"})
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (head, body)]
    signature = made.word(43, LETTERS + "_-")
    return Kind("JWT", ".".join([*parts, signature]), (parts[1], signature))


def _basic(made: Made) -> Kind:
    told = base64.b64encode(f"jill:{made.word(12)}".encode()).decode()
    return Kind("basic authentication", f"Authorization: Basic {told}", (told,))


def _public_key(made: Made) -> Kind:
    body, host = "AAAAB3NzaC1yc2E" + made.word(200, LETTERS + "+/"), made.word(7, string.ascii_lowercase)
    return Kind("SSH public key", f"ssh-rsa {body} jill@{host}", (body[:40], f"jill@{host}"))


def _in_base64(made: Made) -> Kind:
    secret = "password: " + made.word(24)
    told = base64.b64encode(secret.encode()).decode()
    return Kind("base64 of a secret", told, (told.rstrip("="), secret))


def _in_hex(made: Made) -> Kind:
    secret = "token " + made.word(18)
    return Kind("hexadecimal of a secret", secret.encode().hex(), (secret.encode().hex(), secret))


def _in_percent(made: Made) -> Kind:
    secret = "sk-" + "proj-" + made.word(30)
    told = "".join(f"%{ord(c):02X}" for c in secret)
    return Kind("percent-encoded secret", told, (told, secret))


def _url(name: str, scheme: str, rest: str) -> Callable[[Made], Kind]:
    def make(made: Made) -> Kind:
        password, host = made.word(14), f"db{made.number(10, 99)}.{made.word(6, string.ascii_lowercase)}.example"
        return Kind(name, f"{scheme}://jill:{password}@{host}{rest}", (password, host))

    return make


def _presigned(made: Made) -> Kind:
    signature, bucket = made.hexadecimal(64), made.word(9, string.ascii_lowercase)
    text = f"https://{bucket}.s3.amazonaws.com/x?X-Amz-Expires=900&X-Amz-Signature={signature}"
    return Kind("presigned URL", text, (signature, bucket))


def _sas(made: Made) -> Kind:
    signature = quote(made.word(43, LETTERS + "+/") + "=", safe="")
    text = f"sv=2024-11-04&ss=b&srt=sco&sp=rl&se=2027-01-01T00:00:00Z&sig={signature}"
    return Kind("SAS of Azure", text, (signature,))


def _account(made: Made) -> Kind:
    name, key = made.word(9, string.ascii_lowercase), made.word(86, LETTERS + "+/") + "=="
    text = f"DefaultEndpointsProtocol=https;AccountName={name};AccountKey={key};EndpointSuffix=core.windows.net"
    return Kind("connection string of Azure", text, (name, key[:-2]))


def _home(name: str, form: str) -> Callable[[Made], Kind]:
    def make(made: Made) -> Kind:
        who = made.word(7, string.ascii_lowercase)
        return Kind(name, form.format(who), (who,))

    return make


_PRIVATE = "PRIVATE " + "KEY"
_OTHERS: tuple[Callable[[Made], Kind], ...] = (
    _assigned("AWS secret key", "aws_secret_access_key = {}", 40, LETTERS + "+/"),
    _assigned("Datadog key", "DD_API_KEY={}", 32, "0123456789abcdef"),
    _assigned("Weights & Biases key", "WANDB_API_KEY={}", 40, "0123456789abcdef"),
    _assigned("NAME=secret", "DB_PASSWORD={}", 12),
    _assigned("option with a secret", "serve --password {} --port 8000", 12),
    _assigned("option with a token", "serve --hf-token={}", 12),
    _assigned("secret in JSON", '{{"password": "{}"}}', 12),
    _assigned("bearer header", "Authorization: Bearer {}", 32),
    _assigned("cookie", "Cookie: sessionid={}; theme=dark", 26),
    _assigned("session id", "JSESSIONID={}", 26),
    _assigned("git remote with a token", "https://oauth2:{}@git.corp.example/team/llm.git", 24),
    _assigned("job of Slurm", "slurm-{}", 7, "123456789"),
    _assigned("job id of Slurm", "SLURM_JOB_ID={}", 7, "123456789"),
    _assigned("serial number", "Serial Number: 165{}", 10, "123456789"),
    _key("private key, RSA", f"RSA {_PRIVATE}"),
    _key("private key, EC", f"EC {_PRIVATE}"),
    _key("private key, OpenSSH", f"OPENSSH {_PRIVATE}"),
    _key("private key, PGP", f"PGP {_PRIVATE} BLOCK"),
    _key("private key on one line", f"RSA {_PRIVATE}", joined="\\n"),
    _service_account,
    _jwt,
    _basic,
    _public_key,
    _in_base64,
    _in_hex,
    _in_percent,
    _url("URL with credentials", "https", "/v1"),
    _url("PostgreSQL", "postgresql", ":5432/runs"),
    _url("Redis", "redis", ":6379/0"),
    _url("MongoDB", "mongodb+srv", "/runs"),
    _presigned,
    _sas,
    _account,
    _home("home on Linux", "/home/{}/models/llama.bin"),
    _home("home on macOS", "/Users/{}/models"),
    _home("home on Windows", "C:\\Users\\{}\\models"),
    _home("share on Windows", "\\\\filer\\{}\\models"),
    _home("scratch", "/scratch/{}/run"),
    _home("git remote", "git@git.corp.example:{}/llm.git"),
    _assigned("GPU UUID, short", "GPU-{}", 8, "0123456789abcdef"),
    _assigned("bearer of three words", "Bearer {}.cde.fgh", 8, string.ascii_lowercase),
    _assigned("key after a blank", "api_key {}", 12),
    _assigned("password that is told", "the password is {}", 12),
)
