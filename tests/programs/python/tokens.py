"""Makes an issuer of tokens, and tokens, with PyJWT.

    tokens.py FOLDER [SUFFIX]

The ids of the keys end with the suffix. Writes keys.json (a JSON Web Key Set) and the tokens valid.jwt, valid-ec.jwt, expired.jwt and forged.jwt, the last signed by
another key.
"""

import json
import pathlib
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

folder = pathlib.Path(sys.argv[1])
suffix = sys.argv[2] if len(sys.argv) > 2 else ""
now = int(time.time())
key, other = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
curve = ec.generate_private_key(ec.SECP256R1())


def public(algorithm, key, name):
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": name + suffix, "use": "sig"}


keys = [public(jwt.algorithms.RSAAlgorithm, key, "rsa"), public(jwt.algorithms.ECAlgorithm, curve, "ec")]
(folder / "keys.json").write_text(json.dumps({"keys": keys}))


def write(name, key, algorithm, kid, **changes):
    claims = {
        "iss": "https://issuer.test",
        "sub": "spiffe://test/agent",
        "aud": "mcp",
        "iat": now,
        "exp": now + 3600,
        "scope": "read write",
        "act": {"sub": "gateway"},
        "kubernetes.io": {"namespace": "shop", "pod": {"name": "agent-1", "uid": "u-1"}},
        **changes,
    }
    token = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid + suffix})
    (folder / f"{name}.jwt").write_text(token)


write("valid", key, "RS256", "rsa")
write("valid-ec", curve, "ES256", "ec", sub="ec-agent")
write("expired", key, "RS256", "rsa", exp=now - 3600)
write("forged", other, "RS256", "rsa", sub="admin")
