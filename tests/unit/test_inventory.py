"""Lists of hosts, read as those who write them mean them: inventories in both forms, tables, names and labels."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol.errors import InputError
from agent.protocol.identity import LABEL
from reconciler.inventory import ansible, table
from reconciler.inventory.choosing import Wanted, chosen
from reconciler.inventory.groups import Groups, expanded
from reconciler.inventory.hosts import Host, label_of, named

INI = """\
# the shop
bastion ansible_host=10.0.0.1

[web]
web[01:02].example.com:2222 http_port=80
Web_03.example.com  rack='r 4' region=own   # its own region

[db]
db-[a:b]

[eu:children]
web
db

[eu:vars]
region = eu
team="ops"

[web:vars]
region=west
"""
YAML = b"""\
all:
  hosts: {bastion: {ansible_host: 10.0.0.1}}
  children:
    eu:
      vars: {region: eu, team: ops}
      children:
        web:
          vars: {region: west}
          hosts:
            web[01:02].example.com: {http_port: 80}
            Web_03.example.com: {rack: r 4, region: own}
        db:
          hosts: {"db-[a:b]": }
"""


def variable(groups: Groups, name: str) -> dict[str, object]:
    return {one.name: one.variables.get(name) for one in groups.listed()}


def within(groups: Groups) -> dict[str, tuple[str, ...]]:
    return {one.name: one.groups for one in groups.listed()}


@pytest.mark.parametrize("groups", [ansible.read_ini(INI, where="hosts"), ansible.read_yaml(YAML, where="hosts.yaml")], ids=["ini", "yaml"])
def test_both_forms_of_an_inventory_mean_the_same(groups: Groups) -> None:
    assert within(groups) == {
        "bastion": (),
        "web01.example.com": ("eu", "web"),
        "web02.example.com": ("eu", "web"),
        "Web_03.example.com": ("eu", "web"),
        "db-a": ("db", "eu"),
        "db-b": ("db", "eu"),
    }
    regions = {name: value for name, value in variable(groups, "region").items() if value is not None}
    assert regions == {
        "web01.example.com": "west",
        "web02.example.com": "west",
        "Web_03.example.com": "own",
        "db-a": "eu",
        "db-b": "eu",
    }
    assert variable(groups, "team")["db-a"] == "ops"
    assert variable(groups, "rack")["Web_03.example.com"] == "r 4"
    assert str(variable(groups, "http_port")["web02.example.com"]) == "80"


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("web", ["web"]),
        ("web[8:10]", ["web8", "web9", "web10"]),
        ("web[08:10]", ["web08", "web09", "web10"]),
        ("web[1:5:2]", ["web1", "web3", "web5"]),
        ("[a:b]-[1:2]", ["a-1", "a-2", "b-1", "b-2"]),
    ],
)
def test_ranges_are_those_of_ansible(pattern: str, hosts: list[str]) -> None:
    assert list(expanded(pattern)) == hosts


@pytest.mark.parametrize("text", ["web[3:1]", "web[a:3]", "web[", "web[1:999999999]", "[web\nx", "web x", "web 'a"])
def test_what_is_no_line_of_an_inventory_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^hosts:2: "):
        list(ansible.read_ini("\n" + text, where="hosts").listed())


@pytest.mark.parametrize("text", [b"[a, b]", b"web: {host: {a: }}", b"web: {hosts: [a]}", b"a: 1\n---\nb: 1", b"web: !python/object x"])
def test_what_is_no_inventory_in_yaml_is_refused_with_its_file(text: bytes) -> None:
    with pytest.raises(InputError, match=r"^hosts\.yaml"):
        list(ansible.read_yaml(text, where="hosts.yaml").listed())


def test_groups_in_a_circle_and_lists_without_end_are_refused() -> None:
    with pytest.raises(InputError, match="circle"):
        list(ansible.read_ini("[a:children]\nb\n[b:children]\na\n", where="hosts").listed())
    with pytest.raises(InputError, match="split"):
        ansible.read_ini("\n".join(f"web[0:9999]-{number}" for number in range(3)), where="hosts")


def test_variables_beside_an_inventory_count_and_what_is_encrypted_stays_so(tmp_path: Path) -> None:
    (tmp_path / "group_vars" / "web").mkdir(parents=True)
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "group_vars" / "web" / "main.yml").write_text("team: storefront\nkey: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n")
    (tmp_path / "group_vars" / "all").write_text("site: one\n")
    (tmp_path / "host_vars" / "Web_03.example.com.yml").write_text("rack: r3\n")
    (tmp_path / "host_vars" / "nobody.yml").write_text("rack: r3\n")
    (tmp_path / "host_vars" / "db-a").write_bytes(ansible.VAULTED + b";1.1;AES256\n6162\n")
    groups = ansible.read_ini(INI, where="hosts")
    assert [one.name for one in ansible.add_files(groups, tmp_path)] == ["db-a"]
    assert variable(groups, "team") == {**dict.fromkeys(variable(groups, "team"), "ops"), "bastion": None} | dict.fromkeys(
        ["web01.example.com", "web02.example.com", "Web_03.example.com"], "storefront"
    )
    assert variable(groups, "site")["bastion"] == "one"
    assert variable(groups, "rack")["Web_03.example.com"] == "r3"
    assert str(variable(groups, "key")["web01.example.com"]).startswith("$ANSIBLE_VAULT")


def test_a_table_is_read_by_its_first_row_whatever_separates_columns() -> None:
    rows = list(table.read_csv('\ufeffhost;rack;what\nweb-01;r1;"a; b"\n\nweb-02;;\n', where="t.csv", name="host"))
    assert [(one.name, one.variables) for one in rows] == [
        ("web-01", {"rack": "r1", "what": "a; b"}),
        ("web-02", {"rack": "", "what": ""}),
    ]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "name,b\n,2\n", "name,b\nx,1\nx,2\n", "name,b\nx,1,2\n", 'name,b\nx,"1\n', ""])
def test_a_table_that_can_not_be_meant_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^t\.csv:"):
        list(table.read_csv(text, where="t.csv"))


def test_names_become_dns_labels_and_what_is_changed_or_left_out_is_said() -> None:
    found = named([Host(name="Web_01.example.com"), Host(name="db"), Host(name="ü"), Host(name="a.b"), Host(name="a-b")])
    assert [one.name for one in found.hosts] == ["web-01-example-com", "db"]
    assert {(one.name, one.left_out) for one in found.notes} == {("Web_01.example.com", False), ("ü", True), ("a.b", True), ("a-b", True)}
    assert [one.name for one in named([Host(name="web.example.com")], domain="example.com").hosts] == ["web"]


@given(st.text(max_size=80), st.sampled_from(["", "example.com"]))
def test_whatever_a_name_is_it_becomes_a_dns_label_or_none(name: str, domain: str) -> None:
    made = label_of(name, domain=domain)
    assert made == "" or LABEL.fullmatch(made)
    assert label_of(made) == made


def test_labels_are_only_what_is_asked_for_and_only_what_a_label_can_hold() -> None:
    listed = list(ansible.read_ini(INI + "\n[both]\ndb-a\n", where="hosts").listed())
    wanted = Wanted(
        fixed={"env": "prod"}, variables={"area": "region", "rack": "rack"}, groups={"role": ["web", "db"], "odd": ["db", "both"]}
    )
    found = chosen(listed, wanted)
    assert {one.name: dict(one.labels) for one in found.hosts}["web-03-example-com"] == {"env": "prod", "area": "own", "role": "web"}
    assert {one.name: dict(one.labels) for one in found.hosts}["bastion"] == {"env": "prod"}
    said = [one.what for one in found.notes]
    assert "label rack is left out: 'r 4' is no value of a label" in said
    assert "label odd is left out: it is in db and both" in said


def test_a_group_or_a_pattern_limits_what_is_taken() -> None:
    listed = list(ansible.read_ini(INI, where="hosts").listed())
    assert [one.name for one in chosen(listed, Wanted(only=["db", "bas*"])).hosts] == ["bastion", "db-a", "db-b"]


@pytest.mark.parametrize("wanted", [Wanted(variables={"a": "reggion"}), Wanted(groups={"a": ["wbe"]}), Wanted(only=["wbe"])])
def test_what_no_host_has_is_a_slip_and_is_said(wanted: Wanted) -> None:
    with pytest.raises(InputError, match=r"groups are db, eu, web"):
        chosen(list(ansible.read_ini(INI, where="hosts").listed()), wanted)
