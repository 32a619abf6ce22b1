import json
import os
import re
import runpy
import subprocess
import sys
import tempfile
import unittest
from inspect import getsource
from pathlib import Path
from unittest.mock import patch

import webhook_assets
from vectors import vectors
from webhook_assets import Keyring, SecretError, WebhookAssetsError, verify_link

README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")


class Readme(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def snippet(self, name: str) -> Path:
        """A snippet of the README in a file, with a keyring of the test in the place of the reader's."""
        text = README.split(f"<!-- snippet: {name} -->\n```python\n")[1].split("```")[0]
        script = self.folder / name
        script.write_text(text.replace("/etc/webhook-assets/keys.json", f"{self.folder}/keys.json"), "utf-8")
        return script

    def test_it_mints_a_link(self) -> None:
        keyring = json.dumps({"version": 1, "keys": [{"id": "a", "secret": "0a" * 32}]})
        (self.folder / "keys.json").write_text(keyring)
        command = [sys.executable, str(self.snippet("mint.py"))]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        grant = verify_link(Keyring.from_json(keyring), printed)
        self.assertEqual((grant.kind, grant.key_id), ("recording", "a"))

    def test_it_receives_a_webhook_and_refuses_another(self) -> None:
        receive = runpy.run_path(str(self.snippet("receive.py")))["receive"]
        vector = vectors("webhook_signature")["vectors"][0]
        body = vector["body"].encode()
        with patch.dict(os.environ, WEBHOOK_SECRET=vector["secret"]), patch("time.time", lambda: vector["now"]):
            self.assertEqual(receive(body, vector["headers"]), json.loads(body))
            self.assertIsNone(receive(body + b" ", vector["headers"]))
            os.environ["WEBHOOK_SECRET"] = ""
            with self.assertRaises(SecretError):
                receive(body, vector["headers"])

    def test_it_names_every_error_and_every_code(self) -> None:
        modules = [getattr(webhook_assets, name) for name in ("_keyring", "_links", "_webhooks")]
        codes = re.findall(r'Error\(\s*"(\w+)"', "".join(map(getsource, modules)))
        classes = WebhookAssetsError.__subclasses__()
        named = re.findall(r"`(\w+)`", README.split("| error |")[1].split("\n\n")[0])
        expected = {*codes, *(it.__name__ for it in classes), *(it.fault for it in classes), "fault", "code"}
        self.assertEqual(set(named), expected)


if __name__ == "__main__":
    unittest.main()
