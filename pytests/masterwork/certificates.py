"""Certificates for tests, made with openssl when needed: an authority, and whom it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""
    certificate: Path
    key: Path


class Authority:
    """Signs certificates, and revokes them. Its own is `certificate`, signed by `above` if any."""

    def __init__(self, folder: Path, name: str = "test authority",
                 above: Authority | None = None) -> None:
        self.folder = folder
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.txt").touch()
        (folder / "serial").write_text("1000\n")
        (folder / "crlnumber").write_text("01\n")
        (folder / "openssl.cnf").write_text(f"""
            [ca]
            default_ca = ours
            [ours]
            database = {folder}/index.txt
            serial = {folder}/serial
            crlnumber = {folder}/crlnumber
            new_certs_dir = {folder}
            certificate = {folder}/authority.pem
            private_key = {folder}/authority.key
            default_md = sha256
            default_days = 2
            default_crl_days = 2
            policy = any
            unique_subject = no
            copy_extensions = copy
            [any]
            commonName = supplied
            organizationName = optional
            [req]
            distinguished_name = nothing
            [nothing]
            [authority]
            basicConstraints = critical, CA:TRUE
            keyUsage = critical, keyCertSign, cRLSign
            subjectKeyIdentifier = hash
        """)
        self.certificate = folder / "authority.pem"
        signer = (["-CA", above.certificate, "-CAkey", above.folder / "authority.key"] if above
                  else [])
        self.openssl("req", "-x509", *self.new_key("authority", "ec"), "-out", self.certificate,
                     "-days", "2", "-subj", f"/CN={name}", "-extensions", "authority", *signer)

    def openssl(self, *words: object) -> str:
        config = [] if words[0] in ("pkey", "x509", "crl") else ["-config", "openssl.cnf"]
        done = subprocess.run(["openssl", *map(str, words), *config], cwd=self.folder, text=True,
                              timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        assert done.returncode == 0, f"openssl {' '.join(map(str, words))}\n{done.stdout}"
        return done.stdout

    def new_key(self, name: str, kind: str, passphrase: str = "") -> list[object]:
        how = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["rsa:2048"]
        lock = ["-passout", f"pass:{passphrase}"] if passphrase else ["-nodes"]
        return ["-newkey", *how, *lock, "-keyout", self.folder / f"{name}.key"]

    def sign(self, name: str, kind: str = "ec", passphrase: str = "", file: str = "") -> Pair:
        """A certificate for the host or person `name`."""
        file = file or name.replace("*", "any").replace(" ", "-")
        pair = Pair(self.folder / f"{file}.pem", self.folder / f"{file}.key")
        self.openssl("req", "-new", *self.new_key(file, kind, passphrase), "-out", f"{file}.csr",
                     "-subj", f"/O=masterwork/CN={name}", "-addext",
                     f"subjectAltName=DNS:{name.replace(' ', '-')},IP:127.0.0.1")
        self.openssl("ca", "-batch", "-notext", "-in", f"{file}.csr", "-out", pair.certificate)
        return pair

    def revoked(self, *pairs: Pair) -> Path:
        """The list of these certificates and those revoked before."""
        for pair in pairs:
            self.openssl("ca", "-revoke", pair.certificate)
        self.openssl("ca", "-gencrl", "-out", "revoked.pem")
        return self.folder / "revoked.pem"
