"""The config file: strict, documented, and helpful when it is wrong."""

import re
from dataclasses import replace
from pathlib import Path

import authority
import pytest
from mlops_install import actions, config, settings, starter
from mlops_install.context import given
from mlops_install.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "mlops.example.toml"
PROXY = "[base]\nhttp_proxy = 'http://h'\nhttp_proxy_user = 'u'\n"
MIRRORS = "[models]\nchannel_mirrors = { a = 'https://h' }\nchannel_user = 'u'\n"


def message(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "mlops.toml")
    return f"{caught.value.message}\n{caught.value.detail}\n{caught.value.fix}"


def test_the_example_is_what_init_writes():
    assert EXAMPLE.read_text() == starter.example(), "run: mlops-install init, and compare"


def test_the_example_holds_the_defaults():
    assert config.load(EXAMPLE) == settings.Config()


def test_the_example_loads_with_every_comment_taken_off():
    text = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    text = text.replace('path = "../forecasts"\n', "")  # it excludes the repository
    text = text.replace('passphrase = { env = "BACKUP_PASSPHRASE" }\n', "")  # and it the age key
    text = text.replace("channel_mirrors = {}", 'channel_mirrors = { a = "https://h" }')
    text = text.replace("\n[connections]\n", '\n[connections]\nstore = { type = "aws" }\n')
    loaded = config.parse(text, "example")
    for name, model in settings.sections():
        missing = set(model.model_fields) - getattr(loaded, name).model_fields_set
        excluded = {"workflows": {"path"}, "backup": {"passphrase"}}
        assert missing == excluded.get(name, set()), f"[{name}] lacks settings"


@pytest.mark.parametrize(("name", "model"), list(settings.sections()))
def test_every_setting_is_described(name, model):
    bare = [key for key, info in model.model_fields.items() if not info.description]
    assert not bare
    assert model.__doc__


def test_an_unknown_setting_names_file_line_and_nearest():
    text = "[server]\nhost = 'a'\n\n[airflow]\nschedulers = 2\nscheduler = 3\n"
    assert "mlops.toml:6: [airflow] scheduler: there is no such setting" in message(text)
    assert "did you mean schedulers?" in message(text)


def test_an_unknown_table_is_named():
    assert "mlops.toml:1: airflw: there is no such setting; did you mean airflow?" in message(
        "[airflw]\nschedulers = 2\n"
    )


def test_a_setting_in_the_wrong_table_says_where_it_belongs():
    assert "did you mean [airflow] schedulers?" in message("[base]\nschedulers = 2\n")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("schedulers = 0", "it must be at least 1, not 0"),
        ("schedulers = 9", "it must be at most 8, not 9"),
        ("schedulers = 2.5", "it must be a whole number, not 2.5"),
        ('schedulers = "2"', "it must be a whole number, not '2'"),
        ("schedulers = true", "it must be a whole number, not True"),
        ("drain_timeout = 1", "it must be at least 10"),
        ('version = "9.9"', "it must be '3.1.8', '3.2.2', '3.3.1' or '3.3.2', not '9.9'"),
        ('admin_user = "Robert; drop"', "up to 64 small letters"),
    ],
)
def test_a_wrong_value_says_what_is_right(line, says):
    text = message(f"[airflow]\n{line}\n")
    assert "mlops.toml:2: [airflow] " in text
    assert says in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[base]\npackages = "git-lfs"', "[base] packages: it must be a list, such as"),
        ("[base]\nhttp_proxy = 3", "[base] http_proxy: it must be a text in quotes, not 3"),
        ("[base]\nhttp_proxy = 'x'", "'x': it is not an http(s) address; an address is such as"),
        ("[base]\nhttp_proxy_password = 'hush'", 'must be { env = "NAME" } or { file = "PATH" }'),
        ("[postgres]\nadopt = 1", "[postgres] adopt: it must be true or false, not 1"),
        ("[models]\nchannel_mirrors = 3", 'it must be a table, such as { name = "value" }, not 3'),
        ("base = 3", "base: it must be a table, not 3"),
        ("[connections.a]\nhost = 'x'", "[connections.a] type: it is needed, and not set"),
    ],
)
def test_a_value_of_another_kind_says_what_is_right(text, says):
    assert says in message(f"{text}\n")
    assert "hush" not in message(f"{text}\n")


def test_all_mistakes_are_told_at_once():
    text = message("[airflow]\nschedulers = 0\n[base]\ntimezon = 'UTC'\n")
    assert "mlops.toml:2" in text
    assert "mlops.toml:4" in text


def test_broken_toml_names_the_line():
    assert "line 2" in message("[airflow]\nschedulers = = 2\n")


def test_a_url_with_a_password_in_it_is_refused():
    assert "http_proxy" in message("[base]\nhttp_proxy = 'http://me:secret@proxy:3128'\n")


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("workflows", 'repository = "https://hush@git.example.org/a.git"'),
        ("workflows", 'repository = "https://me:hush@git.example.org/a.git"'),
        ("workflows", 'repository = "https://git.example.org/a.git?private_token=hush"'),
        ("workflows", 'repository = "ssh://git:hush@git.example.org/a.git"\nknown_hosts = "x"'),
        ("workflows", 'repository = "ftp://me:hush@git.example.org/a.git"'),
        ("workflows", 'repository = "https://git.example.org/a.git"\npassword = "hush"'),
        ("models", 'pypi_names = "https://hush@git.example.org/names.json"'),
        ("models", 'channel_mirrors = { conda-forge = "https://me:hush@mirror.example.org" }'),
        ("base", 'http_proxy = "http://me:hush@proxy:3128"'),
        ("base", 'http_proxy_password = "hush"'),
        ("base", 'python_index = "https://hush@index.example.org/simple"'),
        ("connections", 'sales = { type = "hana", secret_extra = { key = "hush" } }'),
        ("connections", 'sales = { type = "hana", password = "hush" }'),
        ("backup", 'passphrase = "hush"'),
    ],
)
def test_a_secret_that_stands_in_the_config_is_refused_and_not_repeated(table, line):
    text = message(f"[{table}]\n{line}\n")
    assert "mlops.toml:" in text
    assert "hush" not in text


@pytest.mark.parametrize("url", ["ssh://git@git.example.org/a.git", "git@git.example.org:a.git"])
def test_a_user_of_ssh_is_no_secret(url):
    text = f'[workflows]\nrepository = "{url}"\nknown_hosts = "x"\n'
    assert config.parse(text, "t").workflows.repository == url


def test_a_config_in_another_encoding_is_named(tmp_path):
    file = tmp_path / "mlops.toml"
    file.write_bytes("[airflow]\nschedulers = 3\n".encode("utf-8-sig"))
    assert config.load(file).airflow.schedulers == 3
    for encoding in ("utf-16", "latin-1"):
        file.write_bytes("# für\n[airflow]\n".encode(encoding))
        with pytest.raises(ConfigError, match="not UTF-8"):
            config.load(file)


def test_a_secret_needs_exactly_one_source():
    assert "give one of" in message("[base]\nhttp_proxy_password = { }\n")


def test_certificate_and_key_go_together():
    assert "go together" in message("[proxy]\ncertificate = 'a.pem'\n")


def test_secrets_come_from_the_environment_or_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("PROXY_PASSWORD", "hush one")
    (tmp_path / "two").write_text("hush two\n")
    text = (
        "[base]\nhttp_proxy = 'http://h'\nhttp_proxy_user = 'me'\n"
        "http_proxy_password = { env = 'PROXY_PASSWORD' }\n"
        "python_index = 'http://h'\npython_index_user = 'me'\n"
        f"python_index_password = {{ file = '{tmp_path}/two' }}\n"
    )
    read = given(config.parse(text, "t"))
    assert read.proxy_password
    assert read.proxy_password.get_secret_value() == "hush one"
    assert read.index_password
    assert read.index_password.get_secret_value() == "hush two"
    assert "hush" not in repr(read)


def test_relative_paths_count_from_the_config_file(tmp_path, monkeypatch):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/proxy").write_text("hush\n")
    (tmp_path / "hana.pem").write_text(authority.make("a root of ours").pem)
    (tmp_path / "mlops.toml").write_text(
        "[base]\nhttp_proxy = 'http://h'\nhttp_proxy_user = 'me'\n"
        "http_proxy_password = { file = 'secrets/proxy' }\n"
        "[workflows]\npath = '../forecasts'\n"
        "[models]\npypi_names = 'https://example.org/names.json'\n"
        "[connections]\na = { type = 'hana', host = 'h', trust = 'hana.pem' }\n"
        "b = { type = 'postgres', host = 'h', trust = '/etc/ssl/x.pem' }\n"
    )
    monkeypatch.chdir("/")
    found = config.load(tmp_path / "mlops.toml")
    assert found.workflows.path == f"{tmp_path}/../forecasts"
    assert found.models.pypi_names == "https://example.org/names.json"
    assert found.connections.all["a"].trust == f"{tmp_path}/hana.pem"
    assert found.connections.all["b"].trust == "/etc/ssl/x.pem"
    read = given(found.model_copy(update={"workflows": settings.Config().workflows}))
    assert read.proxy_password
    assert read.proxy_password.get_secret_value() == "hush"


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        (f"{PROXY}http_proxy_password = REF", "[base] http_proxy_password"),
        (f"{MIRRORS}channel_password = REF", "[models] channel_password"),
        ("[workflows]\nuser = 'u'\npassword = REF", "[workflows] password"),
        ("[backup]\npassphrase = REF", "[backup] passphrase"),
        ("[variables]\na = REF", "[variables] a"),
        ("[connections.a]\ntype = 'http'\npassword = REF", "[connections.a] password"),
        ("[connections.a]\ntype = 'http'\nsecret_extra = { k = REF }",
         "[connections.a] secret_extra.k"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reference", ["{ env = 'NOT_THERE' }", "{ file = '/not/there' }"])
def test_a_secret_that_is_not_there_is_told_with_its_setting(text, setting, reference):
    wrong = config.parse(text.replace("REF", reference), "t")
    with pytest.raises(ConfigError) as caught:
        given(wrong)
    assert caught.value.message.startswith(f"{setting}: ")
    assert caught.value.fix


def test_a_check_of_locks_wants_no_secret(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "mlops.toml").write_text(
        "[base]\npython_index = 'https://index.example.org/simple'\npython_index_user = 'u'\n"
        "python_index_password = { env = 'NOT_THERE' }\n"
        f"{MIRRORS}channel_password = {{ env = 'NOT_THERE' }}\n"
        "[backup]\npassphrase = { env = 'NOT_THERE' }\n"
    )
    wish = actions.LockWish(project=tmp_path, check=True)
    with pytest.raises(ConfigError, match="there are no models"):  # so the secrets were passed by
        actions.lock(tmp_path / "mlops.toml", wish)
    with pytest.raises(ConfigError, match=r"\[models\] channel_password"):
        actions.lock(tmp_path / "mlops.toml", replace(wish, check=False))


def test_a_missing_variable_is_named(monkeypatch):
    monkeypatch.delenv("NOT_THERE", raising=False)
    wrong = config.parse(f"{PROXY}http_proxy_password = {{ env = 'NOT_THERE' }}\n", "t")
    with pytest.raises(ConfigError, match="NOT_THERE"):
        given(wrong)


def test_a_missing_certificate_is_named(tmp_path):
    text = f"[proxy]\ncertificate = '{tmp_path}/no.pem'\ncertificate_key = '{tmp_path}/no.key'\n"
    with pytest.raises(ConfigError, match=r"certificate.*no\."):
        given(config.parse(text, "t"))


def test_without_a_file_the_defaults_hold(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert config.load(None) == settings.Config()


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(tmp_path / "no.toml")
