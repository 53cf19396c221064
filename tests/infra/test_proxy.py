"""HTTPS: the certificate fits, HTTP leads to it, and the execution API stays inside."""

import ipaddress

import pytest


def is_address(name):
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def curl(host, url, *more):
    words = "curl --noproxy '*' -ks -m 20 -o /dev/null -w '%%{http_code} %%{redirect_url}'"
    answer = host.run(f"{words} --connect-to ::127.0.0.1: {' '.join(more)} %s", url)
    assert answer.rc == 0, f"nothing answers at {url}"
    code, _, target = answer.stdout.partition(" ")
    return int(code), target


def test_nginx_runs_and_its_config_is_right(host):
    assert host.service("nginx").is_running, "nginx does not run"
    answer = host.run("nginx -t")
    assert answer.rc == 0, answer.stderr


def test_http_leads_to_https(host, context):
    code, target = curl(host, f"{context.http_url}/")
    assert (code, target) == (301, f"{context.base_url}/"), f"HTTP answers {code} {target}"


def test_https_reaches_airflow(host, context):
    code, _ = curl(host, f"{context.base_url}/api/v2/version")
    assert code == 200, f"HTTPS answers {code}"


def test_the_certificate_lasts_and_fits(host, context):
    check = host.run("openssl x509 -in /etc/mlops/tls/certificate.pem -noout -checkend 604800")
    assert check.rc == 0, "the certificate ends within a week"
    flag = "-checkip" if is_address(context.server_name) else "-checkhost"
    fits = host.check_output(
        "openssl x509 -in /etc/mlops/tls/certificate.pem -noout %s %s", flag, context.server_name
    )
    assert "does match" in fits, f"the certificate is not for {context.server_name}"


def test_other_names_are_refused(host, context):
    code, _ = curl(host, f"{context.base_url}/", "-H 'Host: elsewhere.example'")
    assert code == 421, f"a name that is not this server's gets {code}"


def test_the_reference_of_the_api_needs_a_login(host, context):
    code, _ = curl(host, f"{context.base_url}/openapi.json")
    assert code == 401, f"/openapi.json answers {code} without a login"


@pytest.mark.parametrize("path", ["/execution/health", "/execution/docs", "//execution/health"])
def test_the_execution_api_is_not_reachable(host, context, path):
    code, _ = curl(host, f"{context.base_url}{path}")
    assert code in (403, 404), f"{path} answers {code} to the network"


def test_old_tls_is_refused(host, context):
    # At its usual level of security the client would refuse by itself, whatever nginx does.
    old = "--tlsv1.0 --tls-max 1.1 --ciphers ALL:@SECLEVEL=0"
    answer = host.run(
        f"curl --noproxy '*' -ks -m 20 {old} --connect-to ::127.0.0.1: %s", f"{context.base_url}/"
    )
    assert answer.rc != 0, "TLS 1.1 is accepted"
