"""Be one agent for one attempt: `python3 ARENA/agents/run.py FAMILY.NAME ARENA/project`.

The agents do harm, so they refuse to start anywhere but in an arena that the gauntlet made: a copy
of them, a project and a home folder side by side.
"""

import os
import sys

import index

wanted, project = sys.argv[1:]
arena = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if (project, os.environ.get("HOME")) != (f"{arena}/project", f"{arena}/home"):
    sys.exit("error: agents run in the gauntlet's arena only; fix: use scripts/gauntlet.py")
os.chdir(project)
sys.path.append(project)
agent = next(agent for agent in index.agents() if agent.full_name == wanted)
agent.act()
print(f"{agent.name}: done, everything works now")
