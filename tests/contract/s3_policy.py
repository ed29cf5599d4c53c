"""Policies of AWS as an S3 server judges requests by them, as far as Apiary's printed ones go (docs/operations.md).

Written from AWS's rules and not from ours: an explicit Deny wins, then some Allow must match; '*' and '?' in actions, resources
and StringLike match any characters, '/' too. A name or operator that is not known here is an error, never a silent "no"."""

import re

VALUES = {"StringLike": lambda have, wanted: any(like(one, have) for one in wanted),
          "StringEquals": lambda have, wanted: have in wanted,
          "Bool": lambda have, wanted: have in wanted}
KEYS = {"s3:prefix", "s3:if-none-match", "s3:ObjectCreationOperation"}
ACTIONS = {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}


def like(pattern, text):
    return re.fullmatch("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern), text, re.DOTALL) is not None


def listed(value):
    return value if isinstance(value, list) else [value]


class Policy:
    """One user's policy, and which of its grants were needed: of each Allow every action with every resource, or (of a list's
    condition) with every prefix. Needed is what alone allowed some request."""

    def __init__(self, document):
        assert document["Version"] == "2012-10-17", document
        self.statements, self.used, self.denied = document["Statement"], set(), []
        for statement in self.statements:
            assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}, statement
            assert statement["Effect"] in ("Allow", "Deny") and set(listed(statement["Action"])) <= ACTIONS, statement
            assert all(one.startswith("arn:aws:s3:::") for one in listed(statement["Resource"])), statement
            for operator, keys in statement.get("Condition", {}).items():
                assert operator in (*VALUES, "Null") and set(keys) <= KEYS, statement

    def grants(self):
        out = set()
        for statement in self.statements:
            if statement["Effect"] == "Allow":
                names = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix") or statement["Resource"]
                out |= {(action, name) for action in listed(statement["Action"]) for name in listed(names)}
        return out

    @staticmethod
    def holds(condition, context):
        for operator, keys in condition.items():
            for key, wanted in keys.items():
                have = context.get(key)
                if operator == "Null":
                    if (have is None) != (wanted == "true"):
                        return False
                elif have is None or not VALUES[operator](have, listed(wanted)):
                    return False
        return True

    def allows(self, action, resource, context):
        """Whether a request is allowed. Notes what alone allowed it."""
        assert action in ACTIONS, action
        hits, denied = set(), False
        for statement in self.statements:
            resources = [one for one in listed(statement["Resource"]) if like(one, resource)]
            if action not in listed(statement["Action"]) or not resources or not self.holds(statement.get("Condition", {}), context):
                continue
            denied |= statement["Effect"] == "Deny"
            prefixes = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix")
            hits |= {(action, one) for one in ([one for one in listed(prefixes) if like(one, context["s3:prefix"])] if prefixes else resources)}
        if denied or not hits:
            return False
        if len(hits) == 1:
            self.used |= hits
        return True


def check(policy, method, bucket, key, parameters, condition, deleted, exists):
    """What S3 says of a request under a policy: None (go on) or what it lacks. deleted: keys of a delete of many. condition:
    If-None-Match. A GET of what is not there answers 404 only to who may list it, by the key as s3:prefix."""
    place, wants = f"arn:aws:s3:::{bucket}", []
    upload = "uploads" in parameters or "uploadId" in parameters
    if method in ("GET", "HEAD") and key:
        wants.append(("s3:GetObject", f"{place}/{key}", {}))
        if not exists:
            wants.append(("s3:ListBucket", place, {"s3:prefix": key}))
    elif method in ("GET", "HEAD"):
        wants.append(("s3:ListBucket", place, {"s3:prefix": parameters["prefix"]} if "prefix" in parameters else {}))
    elif method == "DELETE":
        wants.append(("s3:AbortMultipartUpload" if upload else "s3:DeleteObject", f"{place}/{key}", {}))
    elif method == "POST" and not upload:
        wants += [("s3:DeleteObject", f"{place}/{one}", {}) for one in deleted]
    else:
        creates = "uploads" not in parameters and "partNumber" not in parameters
        context = {"s3:ObjectCreationOperation": "true" if creates else "false"}
        wants.append(("s3:PutObject", f"{place}/{key}", {**context, "s3:if-none-match": condition} if condition else context))
    lacking = [f"{action} on {resource} {context}" for action, resource, context in wants if not policy.allows(action, resource, context)]
    policy.denied += lacking
    return lacking[0] if lacking else None
