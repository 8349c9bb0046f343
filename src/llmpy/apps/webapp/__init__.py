"""`llmpy app`: a page to chat with local models, on the server of models.

starting.py   from the command to the browser     assembly.py  the parts put together
routes.py     which path is answered by what      threads.py, models.py, general.py, transfer.py
store.py      chats on the disk                   runs.py, answering.py  answers, from load to end
library.py    the models of this machine          pulls.py, jobs.py      downloads and long work
"""

from llmpy.apps.webapp.assembly import WebApp, app_folder
from llmpy.apps.webapp.desktop import install
from llmpy.apps.webapp.starting import PORT, run_app

__all__ = ["PORT", "WebApp", "app_folder", "install", "run_app"]
