"""Be one agent for one attempt: `python3 run.py FAMILY.NAME PROJECT`."""

import os
import sys

import index

wanted, project = sys.argv[1:]
os.chdir(project)
sys.path.append(project)
agent = next(agent for agent in index.agents() if agent.full_name == wanted)
agent.act()
print(f"{agent.name}: done, everything works now")
