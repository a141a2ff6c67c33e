"""What operators may do and which hosts may join: Rego decides (`policies/authz/`), with what signed controls say as input.

`asking` puts questions to an OPA of `serve`'s own, `questions` makes those about operators. No answer is a no.
"""
