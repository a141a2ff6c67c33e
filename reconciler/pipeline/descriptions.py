"""What each rule that is no policy says, for people: those of manifests and of schemas, which nobody can turn off.

Policy rules describe themselves in METADATA. A test holds this table to the rules that the code raises.
"""

from collections.abc import Iterator

from reconciler.pipeline.finding import Description
from reconciler.pipeline.manifests import REPOSITORY_FILE
from reconciler.pipeline.policy.judge import Judge
from reconciler.pipeline.policy.metadata import Rule
from reconciler.pipeline.validation.schemas import names, schema

MANIFEST, SCHEMA, SIGNATURES = "manifest/", "schema/", "signatures/"


_FILES = {
    "case-clash": (
        "Paths differ in more than case",
        "Some file systems take two such names for one file, so a checkout there would lose one of them.",
        "rename one of the two files",
    ),
    "lfs-pointer": (
        "Files are in git themselves",
        "A Git LFS pointer names content that is not part of the commit, so it could change without one.",
        "commit the file itself, or make it an artifact",
    ),
    "misplaced-file": (
        "What looks like a manifest is read",
        "A manifest in another directory, or with another ending, counts for nothing, and whoever wrote it thinks that it does.",
        "move it below tenants/<tenant>/ or library/, and let it end in .yaml; what is no manifest belongs below files/",
        "warn",
    ),
    "path": (
        "Paths are plain UTF-8",
        "A path with control characters or broken UTF-8 looks different wherever it is shown.",
        "rename the file",
    ),
    "size": (
        "A file has at most 1 MiB",
        "Manifests are written by people, and source files travel in every bundle that holds them.",
        "split the file, or make large content an artifact",
    ),
    "submodule": (
        "There are no submodules",
        "The files of a submodule or of a nested repository are not part of the commit, so nobody could judge them.",
        "put the files themselves into this repository",
    ),
    "symlink": (
        "There are no symlinks",
        "A symlink could lead out of the repository, or to a file of another tenant.",
        "put the file itself here, or use a component of the library",
    ),
    "too-many-findings": (
        "A file with more than 200 findings is not looked at further",
        "Nobody mends more at a time, and hostile files could have half a million.",
        "mend what was found first",
    ),
    "too-many-files": ("A repository has at most 100,000 files", "It is ten times the largest that was measured.", "split the repository"),
    "syntax": (
        "Manifests are YAML in one reading",
        "Refused is what is no YAML 1.2, what readers disagree about (tags, tabs, keys that stand twice), and what costs too much to read.",
        "change the line that the finding names; the code after yaml/ says what is wrong with it",
    ),
    "waves": (
        "Waves of a rollout grow",
        "Limits are cumulative, so a wave whose limit is below an earlier one adds nobody; often two numbers are swapped.",
        "let each limit be more than the one before",
        "warn",
    ),
    "repository": (
        "ordain.yaml holds the Repository",
        "It stands at the root and says how all else is read, so there is no judging without it.",
        "add an ordain.yaml, as `ordain init` does, or name the root of a fleet repository",
    ),
    "policy": (
        "Own rules compile, and stay in their own packages",
        "OPA checks all Rego strictly before any of it judges; a rule that could not fire, or that speaks for another one, is refused.",
        "`ordain policy test` checks rules in the same way",
    ),
    "unknown-rule": (
        "Rules that are named exist",
        "A setting or a waiver for a rule that does not exist changes nothing, and whoever wrote it thinks it does.",
        "`ordain policy list` names all rules",
    ),
    "rule-parameter": (
        "Parameters of rules have the type of their default",
        "A rule that gets text where it expects a list finds nothing.",
        "`ordain explain RULE` shows each parameter with its default",
    ),
    "rule-stages": (
        "Stages of a rule say what holds at any time and for everybody",
        "The first has neither a day nor a cohort, and days rise from one to the next, so that whoever reads them knows what counts when.",
        "begin with {level: audit}, say, and put later days below earlier ones",
    ),
    "unused-override": (
        "Overrides in ordain.yaml match something",
        "One whose path or tenant is misspelt changes nothing, and whoever wrote it thinks that it does.",
        "correct the path or the tenant, or leave the override out",
        "warn",
    ),
    "waiver": (
        "A waiver excuses what may be excused, for at most 90 days",
        "What should hold for longer is a setting of the rule. One that breaks the glass lasts 12 hours, and two people sign it.",
        "choose a day at most 90 days away, or remove the waiver",
    ),
    "command": (
        "A command begins with the whole path of its program",
        "It is run without a shell and without a search path, so that what policy judged is the program that a host runs.",
        "write the whole path of the program",
    ),
    "unsupported": (
        "What this version can't do is refused",
        "Kinds and fields that a later version brings are known by name, so that nobody counts on what is not there yet.",
        "leave it out until a version of ordain brings it",
    ),
    "signer": (
        "A signer's keys can be read, and it can be what it says",
        "A key that nobody can use, or a tenant's signer that claims more than its tenant, would be believed to count.",
        "correct the key, or move a signer of the whole repository to signers/",
    ),
    "near-miss": (
        "What looks like a reference is one",
        "${labels.role} is filled in, ${label.role} is plain text and reaches the host as it is; often it is a slip.",
        "correct the reference, or write $${…} for the literal text",
        "warn",
    ),
}
_ACROSS = {
    "after": (
        "What starts after something else names what the fleet runs, and nothing waits for itself",
        "An agent starts processes and services in this order and stops them in the reverse one, so there must be one.",
        "name a process, service, container or component of the fleet, or leave one out of a circle",
    ),
    "bundle-size": (
        "A bundle stays within what an agent takes",
        "Each group and each mode of a fleet is a finished state of its own, so labels in contents multiply their size.",
        "refer to fewer labels, deliver large files as artifacts, or divide the fleet",
    ),
    "check": (
        "A check names a program, and paths of its own generation",
        "It is run without a shell and without a search path, and {staged:PATH} can stand only for what the same component brings.",
        "begin it with an absolute path or {staged:PATH}, and name paths that the component or one that it includes brings",
    ),
    "duplicate": (
        "A name is claimed once",
        "Of two manifests, or two items of a list, with one name nobody could say which one counts.",
        "rename or remove one of them",
    ),
    "group-clash": (
        "Groups of a fleet have different names",
        "Their names are digests; that two of them agree happens by chance once in 500 million fleets.",
        "change the value of a label that components refer to, or the selector of a variant",
    ),
    "include-cycle": (
        "Components don't include each other in a circle",
        "What includes itself has no first part to begin with.",
        "move what both need into a component of its own that both include",
    ),
    "include-depth": (
        "Includes are not nested without end",
        "A chain of includes must stay one that people can follow.",
        "include more directly",
    ),
    "missing-component": (
        "Components that are used exist",
        "A fleet or a component names one that neither its tenant nor the library has.",
        "name one that exists; library/<name> means one of the library, any other name one of this tenant",
    ),
    "missing-parameter": (
        "Every parameter has a value for every member",
        "A host would otherwise get a text with a hole in it.",
        "give it a default, a value in the fleet, or one in a variant that matches the members that are named",
    ),
    "missing-source": (
        "Source files exist, under files/ beside their manifest",
        "A source elsewhere could be another component's, or out of the tenant.",
        "add the file under files/ beside the manifest, or name one that exists",
    ),
    "provenance": (
        "Provenance is an in-toto statement about the artifact that names it",
        "A statement about other bytes, or one that can't be read, proves nothing about what hosts get.",
        "put the statement that your builder made for this sha256 under files/, or take provenance out",
    ),
    "missing-tenant": (
        "Every tenant has a Tenant manifest",
        "It is what says that the directory is a tenant, and how its agents report.",
        "add tenant.yaml with kind: Tenant to the tenant's directory",
    ),
    "name-conflict": (
        "A process, service, package or user of a host has one owner, and what a fleet has is named once",
        "Two components of a fleet, or two fleets of one agent, would undo each other's work for ever; agents report by these names too.",
        "leave the name to one of the components, or use another name",
    ),
    "parameter-conflict": (
        "A component gets its parameters in one place",
        "It is in a fleet once, however often it is included, so it can't have two sets of values.",
        "give its parameters in one place; an include without parameters only says that it must be there",
    ),
    "parameter-type": (
        "Parameters have values of their declared type",
        "A type, a pattern or a list of values that is declared holds for the default too.",
        "make the value and the declaration agree",
    ),
    "path-conflict": (
        "A path of a host has one owner",
        "Two components of a fleet, or two fleets of one agent, would write over each other for ever.",
        "leave the path to one of them, or keep the hosts out of one of the fleets",
    ),
    "too-much-running": (
        "A fleet runs at most 500 processes and services on a host",
        "Each may start after all others, and a host that runs more is not one that anybody could look after.",
        "divide the hosts, or run fewer",
    ),
    "unknown-path": (
        "What a change of a path restarts, reloads or runs names a path that the fleet brings",
        "Only a release changes what its fleet brings, so nothing would ever come of another path.",
        "name a file or an artifact of the fleet, or what lies in an archive that it unpacks",
    ),
    "quota": (
        "A tenant keeps within its quotas",
        "A quota bounds what one tenant takes from the others. What goes over it is refused at its file; what stands already stays.",
        "leave it out, remove something else, or have the quota raised in the Tenant manifest by whoever may",
    ),
    "reference-place": (
        "References stand where they are filled in",
        "Paths, owners, addresses and digests hold none, so what policy judged is what a host gets.",
        "put what differs between hosts into a component of its own, or into contents and commands",
    ),
    "shape": (
        "What is filled in still has the shape of its field",
        "A value of a parameter can make a command or an environment something that no host can run.",
        "change the value, or the field that takes it up",
    ),
    "tenant": (
        "A manifest lies where its tenant is",
        "The directory decides who may change it, so a manifest can't name another tenant than the one whose directory it is in.",
        "move the file to the directory of its tenant, or name the tenant of the directory",
    ),
    "too-many-groups": (
        "A fleet has at most 1,000 groups",
        "Members with the same variants and the same values of the labels that components refer to are one group.",
        "refer to fewer labels, to those with fewer values, or to ${agent.name}, which makes no groups",
    ),
    "unknown-fleet": (
        "Freezes, roles, relays and fleets that go after others name fleets that exist",
        "What names none is for nothing; perhaps it has outlived its fleet.",
        "correct the name, or remove it",
        "warn",
    ),
    "after-circle": (
        "Fleets that go after one another form no circle",
        "Each fleet in a circle of `after` would wait for the others for ever, and none of them would get a release.",
        "take one of the names out of rollout.after",
    ),
    "unknown-object": (
        "A waiver names an object that exists",
        "One that names none excuses nothing; perhaps it has outlived its object.",
        "correct the object, or remove the waiver",
        "warn",
    ),
    "unknown-parameter": (
        "Parameters that are given are declared",
        "A misspelt parameter would leave the one that was meant at its default.",
        "correct the name, or declare the parameter",
    ),
    "unused-component": (
        "A tenant's components are used",
        "One that no fleet and no component uses reaches no host; it is left over, or the fleet that was meant to have it lacks it.",
        "add it to the components of a fleet, or remove it",
        "warn",
    ),
    "unresolved-reference": (
        "References lead to a value",
        "A parameter, a label or a field of an agent that is referred to must exist for every member that gets the text.",
        "declare the parameter, label the members, or write $${…} for the literal text",
    ),
}

_SECRETS = {
    "secret-source": (
        "A secret in git is encrypted",
        "What is not encrypted with age, or by SOPS to an age recipient, would be in git and on every host of the fleet as it stands.",
        "encrypt it with `ordain secrets encrypt`, age or sops; what was in git unencrypted must be changed where it is used",
    ),
    "secret-place": (
        "Secrets go into files and environments of processes alone",
        "A command is in every process list, and a unit or a block of a shared file is for all to read.",
        "put it into a file of mode 0600 or the environment of a process, and name that file where the reference stands",
    ),
    "secret-mode": (
        "A file with a secret is its owner's alone",
        "A group or all accounts of the host would have what one service needs.",
        'leave the mode out or write "0600" or less, and give the file the owner that reads it',
    ),
    "undeclared-secret": (
        "A secret that is referred to is declared",
        "Hosts must know where to get its value, in the component itself or in one that it includes.",
        "declare it under spec.secrets, or write $${secret.…} for the literal text",
    ),
    "unused-secret": (
        "A secret that is declared is referred to",
        "One that no text needs is left over, or the text that was meant to have it lacks it.",
        "refer to it by ${secret.NAME}, or remove it",
        "warn",
    ),
    "secret-recipients": (
        "All members of a fleet can open its secrets",
        "A host that joined after a value was encrypted refuses the release, and so does a pool without a key of its fleet.",
        "encrypt it again to the fleet's recipients; give pools a key of the fleet's (spec.recipients)",
        "warn",
    ),
}

_SIGNATURES = {
    "co-signer": (
        "Two people sign what ordain.yaml says so of",
        "One stolen key, or one mistake, is then not enough to change what decides.",
        "let a second allowed signer merge the commit by a merge commit that is signed",
    ),
    "judge": (
        "Only policy owners change what decides",
        "ordain.yaml, policies/ and signers/ judge everything else, so whoever changes them could let anything in.",
        "let a policy owner make and sign the change",
    ),
    "not-allowed": (
        "A commit touches what its signer may touch",
        "Signer manifests say for each key which paths and kinds its commits may touch, before and after.",
        "let somebody make the change who may, or ask for the right in the manifest of the signer",
    ),
    "owner": (
        "Somebody may always change the judge",
        "With signatures required and no policy owner in signers/, nobody could change ordain.yaml again.",
        "keep a Signer with policyOwner: true in signers/",
    ),
    "signer": (
        "Nobody gives away more than they have",
        "Whoever may write signers could otherwise let themselves, or another, into everything.",
        "let a policy owner make the change, or give no more paths and kinds than your own",
    ),
    "too-many": (
        "A range has at most 2,000 commits",
        "Each commit is verified by itself, and a reconciler must come to an end with what arrives at once.",
        "push it in parts, or as one commit that is signed",
    ),
    "unsigned": (
        "Every commit is signed",
        "What nobody signed could come from whoever has a way to push.",
        "sign it anew while it is on your own branch; once merged, take its changes back by a signed commit, and make them again",
    ),
    "unverified": (
        "Every signature holds",
        "A signature by a key that no signer states, by one that has ended, or over something else is none.",
        "sign with a key that a Signer manifest states, from and until when it counts",
    ),
}


def remedy_of(rule: str) -> str:
    """Return what to do about a finding of a rule `signatures/…`; raise `KeyError` where there is no such rule."""
    return _SIGNATURES[rule.removeprefix(SIGNATURES)][2]


def structural() -> Iterator[Description]:
    """Yield the description of every rule that is no policy, by id."""
    rows: dict[str, tuple[str, ...]] = {**_FILES, **_ACROSS, **_SECRETS}
    for what, (title, description, remedy, *level) in sorted(rows.items()):
        scope = "file" if what in _FILES else "across"
        name = MANIFEST + what
        yield Description(
            id=name, title=title, description=description, remedy=remedy, level="warn" if level else "deny", scope=scope, code=name
        )
    yield Description(
        id="waivers/unused",
        title="A waiver is needed",
        description="One that excuses nothing is left over, or names another place or value than the verdict that it was written for.",
        remedy="remove it, or correct its place and value",
        level="warn",
        scope="across",
        code="waivers/unused",
    )
    for what, (title, description, remedy) in _SIGNATURES.items():
        name = SIGNATURES + what
        yield Description(id=name, title=title, description=description, remedy=remedy, code=name)
    yield Description(
        id=SCHEMA + "manifest",
        title="A manifest says which kind it is",
        description="apiVersion and kind decide which schema it is held to.",
        remedy="write apiVersion: ordain.dev/v1 and one of the known kinds at the top",
        code=SCHEMA + "kind",
    )
    for name in names():
        if "/" not in name:
            yield _of_schema(name)


def _of_schema(name: str) -> Description:
    stated = schema(name)
    kind = stated["properties"]["kind"]["const"]
    return Description(
        id=SCHEMA + name,
        title=f"{'An' if kind[0] in 'AEIOU' else 'A'} {kind} manifest is what its schema says",
        description=f"{stated['description']} Unknown fields, missing ones and values of another form are refused; the code says which.",
        remedy=f"`ordain schema {name}` shows every field, what it is for and what it may be",
        code=SCHEMA + "…",
    )


def of_judge(judge: Judge) -> Iterator[Description]:
    """Yield the description of every policy rule of a judge."""
    yield from (of_rule(judge, rule) for rule in judge.rules.values())


def of_rule(judge: Judge, rule: Rule) -> Description:
    """Return the description of a policy rule, with its level and parameters as `ordain.yaml` has them."""
    setting = judge.setting(rule.id, REPOSITORY_FILE, rule.tenant)
    return Description(
        id=rule.id,
        title=rule.title,
        description=rule.description,
        remedy=rule.remedy,
        level=setting.level,
        scope=rule.scope,
        code=rule.code,
        parameters=setting.parameters,
        file=rule.file,
        waivable=rule.waivable,
        becomes=setting.becomes,
    )
