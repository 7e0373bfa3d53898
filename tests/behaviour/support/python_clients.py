# What a Python client sees of a folder: one line for each file, the name and the content in hexadecimal; `failed` for what it cannot open.
#   python_clients.py webdav4|webdavclient3 URL USER PASSWORD
import io
import sys

library, url, user, password = sys.argv[1:5]


def read(name, download):
    content = io.BytesIO()
    try:
        download(content, name)
        got = content.getvalue().hex() or "-"
    except Exception as error:
        print(f"{name!r}: {type(error).__name__}: {error}", file=sys.stderr)
        got = "failed"
    print(name.encode("utf-8", "surrogateescape").hex(), got)


if library == "webdav4":
    from webdav4.client import Client

    client = Client(url, auth=(user, password), timeout=120)
    for name in client.ls("", detail=False):
        read(name, lambda content, name: client.download_fileobj(name, content))
else:
    from webdav3.client import Client

    client = Client({"webdav_hostname": url, "webdav_login": user, "webdav_password": password, "webdav_timeout": 120})
    # With `get_info` the library gives paths as the server has them.
    for entry in client.list("/", get_info=True):
        if not entry["isdir"]:
            read(entry["path"].split("/")[-1], client.download_from)
