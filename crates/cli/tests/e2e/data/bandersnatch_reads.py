"""Copies what a mirror's Simple pages list, with bandersnatch's own client, checks and storage: URL FOLDER.

bandersnatch's command reads /pypi/PROJECT/json of Warehouse beside, which no PEP describes; here what it needs
of that comes from the pages.
"""

import asyncio
import datetime
import pathlib
import sys
from urllib.parse import urljoin, urlsplit

from bandersnatch.master import Master
from bandersnatch.mirror import BandersnatchMirror

JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


async def copy(url, folder):
    async with Master(url, allow_non_https=True, api_method="simple") as master:
        mirror = BandersnatchMirror(pathlib.Path(folder), master)
        for project in (await master.fetch_simple_index())["projects"]:
            page_url = f"{url}/simple/{project['name']}/"
            async for answer in master.get(page_url, None, headers=JSON):
                page = await answer.json()
            for file in page["files"]:
                file_url = urljoin(page_url, file["url"])
                path = urlsplit(file_url).path.removeprefix("/files")
                when = datetime.datetime.fromisoformat(file["upload-time"].replace("Z", "+00:00"))
                sha256 = file["hashes"]["sha256"]
                await mirror.download_file(file_url, file["size"], when, sha256, urlpath=path)
                print(path)


asyncio.run(copy(*sys.argv[1:]))
