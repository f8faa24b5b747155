"""A table of whole missions in the notation of `missions`: a round, by examples."""

from dataclasses import dataclass

from loop.missions import EVERYTHING, Mission, Result, configured, tell
from openloop.config.config import Config
from openloop.core.vocabulary import Outcome


@dataclass(frozen=True)
class History:
    title: str
    config: Config
    story: str


def scenario(title: str, steps: str, story: str, **limits: float) -> History:
    return History(title, configured(steps, **limits), story)


ORDER = (
    scenario(
        "everything passes",
        EVERYTHING,
        "run1/5 1: play scan verify baseline=0.95 =healthy/complete complete",
    ),
    scenario("verify alone", "verify", "run1/5 1: verify =healthy/complete complete"),
    scenario(
        "scan runs even when play failed",
        "play scan verify",
        "run1/5 1: play- scan verify =unhealthy/continue"
        " 2: play scan verify =healthy/complete complete",
    ),
    scenario(
        "verify runs even when play and scan failed",
        "play scan verify",
        "run1/1 1: play- scan- verify =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "fix answers a failed play in the same round",
        "play scan fix verify",
        "run1/5 1: play- scan fix verify *play *scan =repaired/complete complete",
    ),
    scenario(
        "fix answers a failed scan in the same round",
        "play scan fix verify",
        "run1/5 1: play scan- fix verify *play *scan =repaired/complete complete",
    ),
    scenario(
        "fix runs once for both",
        "play scan fix verify",
        "run1/5 1: play- scan- fix verify *play *scan =repaired/complete complete",
    ),
    scenario(
        "nothing is fixed before verify has failed",
        "fix verify",
        "run1/5 1: verify- =unhealthy/continue 2: fix verify =repaired/complete complete",
    ),
    scenario(
        "a failed verify is outstanding in the next round, whatever passes before it",
        "play scan fix verify",
        "run1/5 1: play scan verify- =unhealthy/continue"
        " 2: play scan fix verify *play *scan =repaired/complete complete",
    ),
    scenario(
        "a failure that a fix has answered is not outstanding",
        "play fix verify",
        "run1/5 1: play- fix verify *play- =unhealthy/continue"
        " 2: play verify =healthy/complete complete",
    ),
    scenario(
        "a failed verify is outstanding in the next run",
        "fix verify",
        "run1/1 1: verify- =unhealthy/exhausted exhausted"
        " run2/1 2: fix verify =repaired/complete complete",
        rounds=1,
    ),
    scenario(
        "without a fix a failure is only measured again",
        "scan verify",
        "run1/5 1: scan- verify =unhealthy/continue 2: scan verify =healthy/complete complete",
    ),
    scenario(
        "without a fix improve does not answer a failed verify",
        "verify baseline improve",
        "run1/5 1: verify- =unhealthy/continue 2: verify baseline=0.9 =healthy/complete complete",
    ),
    scenario(
        "no baseline after a failed verify",
        "fix verify baseline improve",
        "run1/1 1: verify- =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "baseline runs when play and scan failed but verify passed",
        "play scan verify baseline",
        "run1/1 1: play- scan- verify baseline=0.95 =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "improve answers a missed baseline, the next round measures",
        EVERYTHING,
        "run1/5 1: play scan verify baseline=0.5 improve =unhealthy/continue"
        " 2: play scan verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "improve answers a baseline that could not be measured",
        "verify baseline improve",
        "run1/5 1: verify baseline- improve =unhealthy/continue"
        " 2: verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "no improve while another gate's latest result is a failure",
        "play verify baseline improve",
        "run1/5 1: play- verify baseline=0.5 =unhealthy/continue"
        " 2: play verify baseline=0.5 improve =unhealthy/continue"
        " 3: play verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "no improve while that failure is older than the fix, no fix for the baseline alone",
        "play fix verify baseline improve",
        "run1/5 1: play- fix verify baseline=0.5 =unhealthy/continue"
        " 2: play verify baseline=0.5 improve =unhealthy/continue"
        " 3: play verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "improve follows a fix that made verify pass",
        "fix verify baseline improve",
        "run1/5 1: verify- =unhealthy/continue"
        " 2: fix verify baseline=0.5 improve =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "fix stands in for improve",
        "fix verify baseline",
        "run1/5 1: verify baseline=0.5 fix =unhealthy/continue"
        " 2: verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "fix runs twice in a round when it stands in",
        "fix verify baseline",
        "run1/5 1: verify- =unhealthy/continue"
        " 2: fix verify baseline=0.5 fix =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "neither fix nor improve: the baseline is only measured again",
        "verify baseline",
        "run1/5 1: verify baseline=0.5 =unhealthy/continue"
        " 2: verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "a failed change does not fail the round by itself",
        "play fix verify",
        "run1/5 1: play- fix- verify *play =repaired/complete complete",
    ),
    scenario(
        "a change that runs into its limit is a change all the same",
        "play fix verify",
        "run1/5 1: play- fix:timeout verify *play- =unhealthy/continue"
        " 2: play- fix:stalled verify *play =repaired/complete complete",
    ),
)

EVIDENCE = (
    scenario(
        "gates older than the fix are measured again, in the order of a round",
        EVERYTHING,
        "run1/5 1: play- scan fix verify baseline=0.95 *play *scan =repaired/complete complete",
    ),
    scenario(
        "nothing is measured again after a failed verify",
        "play scan fix verify baseline",
        "run1/5 1: play- scan fix verify- =unhealthy/continue"
        " 2: play scan fix verify baseline=0.95 *play *scan =repaired/complete complete",
    ),
    scenario(
        "nothing but the failure is new: the next gates wait for the next round",
        "play scan fix verify",
        "run1/5 1: play- scan fix verify *play- =unhealthy/continue"
        " 2: play scan verify =healthy/complete complete",
    ),
    scenario(
        "the last gate measured again fails",
        "play scan fix verify",
        "run1/5 1: play- scan fix verify *play *scan- =unhealthy/continue"
        " 2: play scan- fix verify *play *scan =repaired/complete complete",
    ),
    scenario(
        "a missed baseline after a fix: improve first, measure in the next round",
        EVERYTHING,
        "run1/5 1: play scan verify- =unhealthy/continue"
        " 2: play scan fix verify baseline=0.5 improve =unhealthy/continue"
        " 3: play scan verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "after improve in the last round everything is measured again",
        EVERYTHING,
        "run1/1 1: play scan verify baseline=0.5 improve"
        " *play *scan *verify *baseline=0.95 =repaired/complete complete",
        rounds=1,
    ),
    scenario(
        "after improve in the last round, still missed",
        "verify baseline improve",
        "run1/1 1: verify baseline=0.5 improve *verify *baseline=0.6"
        " =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "improve broke verify in the last round: no baseline",
        "verify baseline improve",
        "run1/1 1: verify baseline=0.5 improve *verify- =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "improve broke play in the last round: the others are measured all the same",
        EVERYTHING,
        "run1/1 1: play scan verify baseline=0.5 improve"
        " *play- *scan *verify *baseline=0.95 =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "the stand-in in the last round",
        "fix verify baseline",
        "run1/1 1: verify baseline=0.5 fix *verify *baseline=0.95 =repaired/complete complete",
        rounds=1,
    ),
    scenario(
        "the last round by --max-rounds",
        "verify baseline improve",
        "--max-rounds=1 run1/1 1: verify baseline=0.5 improve *verify *baseline=0.95"
        " =repaired/complete complete",
    ),
    scenario(
        "improve before the breaker trips",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 improve *verify *baseline=0.4"
        " =unhealthy/blocked trip blocked",
        failures=1,
    ),
    scenario(
        "improve before the breaker would have tripped",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 improve *verify *baseline=0.95 =repaired/complete complete",
        failures=1,
    ),
    scenario(
        "what is measured again beats the best and keeps the breaker closed",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 improve *verify *baseline=0.6 =unhealthy/continue"
        " 2: verify baseline=0.95 =healthy/complete complete",
        failures=1,
    ),
    scenario(
        "improve in the trial",
        "verify baseline improve",
        "run1/5 1: verify- =unhealthy/blocked trip blocked"
        " trial2/1 2: verify baseline=0.5 improve *verify *baseline=0.95"
        " =repaired/complete complete",
        failures=1,
    ),
    scenario(
        "the time is over after improve",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 +60s improve *verify *baseline=0.95"
        " =repaired/complete complete",
        runtime=60,
    ),
    scenario(
        "the time is over before improve",
        "verify baseline improve",
        "run1/5 1: verify +60s baseline=0.5 =unhealthy/exhausted exhausted",
        runtime=60,
    ),
    scenario(
        "the time is over before fix",
        "play scan fix verify",
        "run1/5 1: +60s play- scan verify =unhealthy/exhausted exhausted",
        runtime=60,
    ),
    scenario(
        "the time is over after fix",
        "play scan fix verify",
        "run1/5 1: play- scan +60s fix verify *play *scan =repaired/complete complete",
        runtime=60,
    ),
    scenario(
        "the time is over when everything passed",
        "play verify",
        "run1/5 1: play +60s verify =healthy/complete complete",
        runtime=60,
    ),
    scenario(
        "a new run has its own time",
        "verify",
        "run1/5 1: +60s verify- =unhealthy/exhausted exhausted"
        " run2/5 2: +59s verify- =unhealthy/continue"
        " 3: +1s verify- =unhealthy/exhausted exhausted",
        runtime=60,
        failures=9,
    ),
)

BREAKER = (
    scenario(
        "three failed rounds in a row",
        "verify",
        "run1/5 1: verify- =unhealthy/continue 2: verify- =unhealthy/continue"
        " 3: verify- =unhealthy/blocked trip blocked",
    ),
    scenario(
        "the first failed round, when the limit is one",
        "verify",
        "run1/5 1: verify- =unhealthy/blocked trip blocked",
        failures=1,
    ),
    scenario(
        "the count carries over from run to run",
        "verify",
        "run1/2 1: verify- =unhealthy/continue 2: verify- =unhealthy/exhausted exhausted"
        " run2/2 3: verify- =unhealthy/blocked trip blocked",
        rounds=2,
    ),
    scenario(
        "blocked rather than exhausted on the last budgeted round",
        "verify",
        "run1/3 1: verify- =unhealthy/continue 2: verify- =unhealthy/continue"
        " 3: verify- =unhealthy/blocked trip blocked",
        rounds=3,
    ),
    scenario(
        "blocked rather than exhausted when the time is over as well",
        "verify",
        "run1/5 1: +60s verify- =unhealthy/blocked trip blocked",
        failures=1,
        runtime=60,
    ),
    scenario(
        "a metric that beats its best resets the count",
        "verify baseline",
        "run1/9 1: verify baseline=0.1 =unhealthy/continue"
        " 2: verify baseline=0.2 =unhealthy/continue"
        " 3: verify baseline=0.2 =unhealthy/continue"
        " 4: verify baseline=0.1 =unhealthy/blocked trip blocked",
        rounds=9,
        failures=2,
    ),
    scenario(
        "a first value beats nothing",
        "verify baseline",
        "run1/5 1: verify baseline=0.5 =unhealthy/blocked trip blocked",
        failures=1,
    ),
    scenario(
        "the best of an earlier run has to be beaten",
        "verify baseline",
        "run1/1 1: verify baseline=0.5 =unhealthy/exhausted exhausted"
        " run2/1 2: verify baseline=0.5 =unhealthy/blocked trip blocked",
        rounds=1,
        failures=2,
    ),
    scenario(
        "an equal, a worse and a missing value are no progress",
        "verify baseline",
        "run1/9 1: verify baseline=0.5 =unhealthy/continue"
        " 2: verify baseline=0.5 =unhealthy/continue"
        " 3: verify baseline=0.4 =unhealthy/continue"
        " 4: verify baseline- =unhealthy/blocked trip blocked",
        rounds=9,
        failures=4,
    ),
    scenario(
        "progress counts though another gate fails",
        "play verify baseline",
        "run1/9 1: play- verify baseline=0.5 =unhealthy/continue"
        " 2: play- verify baseline=0.6 =unhealthy/continue"
        " 3: play- verify baseline=0.6 =unhealthy/continue"
        " 4: play- verify baseline=0.6 =unhealthy/blocked trip blocked",
        rounds=9,
        failures=2,
    ),
    scenario(
        "a complete round resets the count",
        "verify",
        "run1/5 1: verify- =unhealthy/continue 2: verify =healthy/complete complete"
        " run2/5 3: verify- =unhealthy/continue"
        " 4: verify- =unhealthy/blocked trip blocked",
        failures=2,
    ),
    scenario(
        "a trial that ends complete closes the breaker",
        "verify",
        "run1/5 1: verify- =unhealthy/continue 2: verify- =unhealthy/blocked trip blocked"
        " trial2/1 3: verify =healthy/complete complete"
        " run3/5 4: verify- =unhealthy/continue"
        " 5: verify- =unhealthy/blocked trip blocked",
        failures=2,
    ),
    scenario(
        "any other trial blocks again at once, as often as it is tried",
        "verify",
        "run1/5 1: verify- =unhealthy/blocked trip blocked"
        " trial2/1 2: verify- =unhealthy/blocked trip blocked"
        " trial3/1 3: verify =healthy/complete complete",
        failures=1,
    ),
    scenario(
        "progress does not save a trial",
        "verify baseline",
        "run1/5 1: verify baseline=0.1 =unhealthy/blocked trip blocked"
        " trial2/1 2: verify baseline=0.8 =unhealthy/blocked trip blocked",
        failures=1,
    ),
    scenario(
        "a trial may fix what was outstanding",
        "fix verify",
        "run1/5 1: verify- =unhealthy/blocked trip blocked"
        " trial2/1 2: fix verify =repaired/complete complete",
        failures=1,
    ),
    scenario(
        "an interrupted trial is resumed as a trial",
        "verify",
        "run1/5 1: verify- =unhealthy/blocked trip blocked"
        " trial2/1 2: verify:interrupted SIGINT =interrupted/continue interrupted"
        " resume2/1 3: verify- =unhealthy/blocked trip blocked",
        failures=1,
    ),
    scenario(
        "a killed trial is resumed as a trial",
        "verify",
        "run1/5 1: verify- =unhealthy/blocked trip blocked"
        " trial2/1 2: verify~ KILL"
        " resume2/1 =interrupted/continue 3: verify =healthy/complete complete"
        " run3/5 4: verify =healthy/complete complete",
        failures=1,
    ),
    scenario(
        "an interrupted round neither fails nor resets",
        "verify",
        "run1/5 1: verify- =unhealthy/continue"
        " 2: verify:interrupted SIGTERM =interrupted/continue interrupted"
        " resume1/5 3: verify- =unhealthy/blocked trip blocked",
        failures=2,
    ),
    scenario(
        "a killed round neither fails nor resets",
        "verify",
        "run1/5 1: verify- =unhealthy/continue 2: verify~ KILL"
        " resume1/5 =interrupted/continue 3: verify- =unhealthy/blocked trip blocked",
        failures=2,
    ),
)

BUDGET = (
    scenario(
        "all rounds used",
        "verify",
        "run1/2 1: verify- =unhealthy/continue 2: verify- =unhealthy/exhausted exhausted",
        rounds=2,
    ),
    scenario(
        "--max-rounds lowers the budget",
        "verify",
        "--max-rounds=1 run1/1 1: verify- =unhealthy/exhausted exhausted",
    ),
    scenario(
        "--max-rounds does not raise the budget",
        "verify",
        "--max-rounds=9 run1/1 1: verify- =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "each run has its own budget, and round numbers go on",
        "verify",
        "run1/2 1: verify- =unhealthy/continue 2: verify- =unhealthy/exhausted exhausted"
        " run2/2 3: verify- =unhealthy/continue 4: verify- =unhealthy/exhausted exhausted",
        rounds=2,
        failures=9,
    ),
    scenario(
        "a complete mission may be run again",
        "verify",
        "run1/5 1: verify =healthy/complete complete run2/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "interrupted rounds are not counted",
        "verify",
        "run1/2 1: verify:interrupted SIGINT =interrupted/continue interrupted"
        " resume1/2 2: verify- =unhealthy/continue 3: verify~ KILL"
        " resume1/2 =interrupted/continue 4: verify- =unhealthy/exhausted exhausted",
        rounds=2,
    ),
    scenario(
        "--max-rounds of a resumed run is what may still follow",
        "verify",
        "run1/5 1: verify- =unhealthy/continue 2: verify~ KILL"
        " --max-rounds=2 resume1/3 =interrupted/continue 3: verify- =unhealthy/continue"
        " 4: verify- =unhealthy/exhausted exhausted",
        failures=9,
    ),
    scenario(
        "a resumed run never gets more than the configuration allows",
        "verify",
        "run1/2 1: verify- =unhealthy/continue 2: verify~ KILL"
        " --max-rounds=2 resume1/2 =interrupted/continue"
        " 3: verify- =unhealthy/exhausted exhausted",
        rounds=2,
    ),
)

RESUMED = (
    scenario(
        "killed in the middle of a gate",
        "play scan verify",
        "run1/5 1: play scan~ KILL"
        " resume1/5 =interrupted/continue 2: play scan verify =healthy/complete complete",
    ),
    scenario(
        "killed between two steps",
        "play verify",
        "run1/5 1: play KILL"
        " resume1/5 =interrupted/continue 2: play verify =healthy/complete complete",
    ),
    scenario(
        "killed before a round's first step",
        "verify",
        "run1/5 1: KILL resume1/5 =interrupted/continue 2: verify =healthy/complete complete",
    ),
    scenario(
        "killed before the first round",
        "verify",
        "run1/5 KILL resume1/5 1: verify =healthy/complete complete",
    ),
    scenario(
        "killed after the last step of a round that would have been complete",
        "verify",
        "run1/5 1: verify KILL"
        " resume1/5 =interrupted/continue 2: verify =healthy/complete complete",
    ),
    scenario(
        "killed between two rounds: no broken round to close",
        "verify",
        "run1/5 1: verify- =unhealthy/continue KILL resume1/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "killed again before the broken round was closed",
        "verify",
        "run1/5 1: verify~ KILL resume1/5 KILL"
        " resume1/5 =interrupted/continue KILL"
        " resume1/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "killed in the middle of fix: nothing is outstanding until a gate has measured",
        "fix verify",
        "run1/5 1: verify- =unhealthy/continue 2: fix~ KILL"
        " resume1/5 =interrupted/continue 3: verify- =unhealthy/continue"
        " 4: fix verify =repaired/complete complete",
        failures=9,
    ),
    scenario(
        "killed in the middle of fix: an early gate that fails again is answered",
        "play fix verify",
        "run1/5 1: play- fix~ KILL"
        " resume1/5 =interrupted/continue 2: play- fix verify *play =repaired/complete complete",
    ),
    scenario(
        "killed in the middle of improve: measured in the next round",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 improve~ KILL"
        " resume1/5 =interrupted/continue"
        " 2: verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "killed after fix: what failed before it is not outstanding",
        "fix verify",
        "run1/5 1: verify- =unhealthy/continue 2: fix KILL"
        " resume1/5 =interrupted/continue 3: verify =healthy/complete complete",
    ),
    scenario(
        "killed while gates are measured again",
        "verify baseline improve",
        "run1/1 1: verify baseline=0.5 improve *verify KILL"
        " resume1/1 =interrupted/continue 2: verify baseline=0.95 =healthy/complete complete",
        rounds=1,
    ),
    scenario(
        "killed between round_finished and run_finished: complete, and a new run",
        "verify",
        "run1/5 1: verify =healthy/complete KILL"
        " complete run2/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "killed between round_finished and run_finished: exhausted, and a new run",
        "verify",
        "run1/1 1: verify- =unhealthy/exhausted KILL"
        " exhausted run2/1 2: verify- =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "killed before the breaker's trip was recorded",
        "verify",
        "run1/5 1: verify- =unhealthy/blocked KILL"
        " trip blocked trial2/1 2: verify =healthy/complete complete",
        failures=1,
    ),
    scenario(
        "killed after the breaker's trip was recorded: it trips once",
        "verify",
        "run1/5 1: verify- =unhealthy/blocked trip KILL"
        " blocked trial2/1 2: verify =healthy/complete complete",
        failures=1,
    ),
    scenario(
        "interrupted in a gate",
        "play verify",
        "run1/5 1: play verify:interrupted SIGINT =interrupted/continue interrupted"
        " resume1/5 2: play verify =healthy/complete complete",
    ),
    scenario(
        "interrupted in fix: nothing is outstanding until a gate has measured",
        "fix verify",
        "run1/5 1: verify- =unhealthy/continue"
        " 2: fix:interrupted SIGTERM =interrupted/continue interrupted"
        " resume1/5 3: verify- =unhealthy/continue 4: fix verify =repaired/complete complete",
    ),
    scenario(
        "an interrupted gate measured nothing: the failure before it is still outstanding",
        "fix verify",
        "run1/5 1: verify- =unhealthy/continue 2: fix verify- =unhealthy/continue"
        " 3: SIGHUP =interrupted/continue interrupted"
        " resume1/5 4: fix verify:interrupted SIGHUP =interrupted/continue interrupted"
        " resume1/5 5: verify =healthy/complete complete",
    ),
    scenario(
        "interrupted in a confirming gate: no change is measured to its end",
        "verify baseline improve",
        "run1/1 1: verify baseline=0.5 improve *verify:interrupted SIGINT"
        " =interrupted/continue interrupted"
        " resume1/1 2: verify baseline=0.95 =healthy/complete complete",
        rounds=1,
    ),
    scenario(
        "interrupted between two rounds",
        "verify",
        "run1/5 1: verify- =unhealthy/continue SIGHUP interrupted"
        " resume1/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "a signal after the round that ended complete comes too late",
        "verify",
        "run1/5 1: verify =healthy/complete SIGINT complete"
        " run2/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "killed between an interrupted round and the end of its run",
        "verify",
        "run1/5 1: verify:interrupted SIGINT =interrupted/continue KILL"
        " resume1/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "interrupted while a broken round is closed",
        "verify",
        "run1/5 1: verify~ KILL resume1/5 SIGINT =interrupted/continue interrupted"
        " resume1/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "the time of a resumed run goes on",
        "verify",
        "run1/5 1: +59s verify~ KILL"
        " resume1/5 =interrupted/continue 2: +1s verify- =unhealthy/exhausted exhausted",
        runtime=60,
    ),
)

EDITED = (
    scenario(
        "edited after the end of a run",
        "verify",
        "run1/1 1: verify- =unhealthy/exhausted exhausted"
        " EDIT run2/1 2: verify =healthy/complete complete",
        rounds=1,
    ),
    scenario(
        "edited after an interruption: a new run with its own budget",
        "verify",
        "run1/2 1: verify- =unhealthy/continue SIGINT interrupted"
        " EDIT run2/2 2: verify- =unhealthy/continue 3: verify- =unhealthy/exhausted exhausted",
        rounds=2,
        failures=9,
    ),
    scenario(
        "edited after a kill in a gate: the old run is closed, a new one begins",
        "play verify",
        "run1/5 1: play~ KILL EDIT"
        " =interrupted/continue interrupted run2/5 2: play verify =healthy/complete complete",
    ),
    scenario(
        "edited after a kill in a change: blocked",
        "play fix verify",
        "run1/5 1: play- fix~ KILL EDIT"
        " =interrupted/blocked blocked trial2/1 2: play verify =healthy/complete complete",
    ),
    scenario(
        "killed while that is recorded",
        "fix verify",
        "run1/5 1: verify- =unhealthy/continue 2: fix~ KILL EDIT"
        " =interrupted/blocked KILL blocked trial2/1 3: verify =healthy/complete complete",
    ),
    scenario(
        "edited after a kill in improve: blocked",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 improve~ KILL EDIT =interrupted/blocked blocked",
    ),
    scenario(
        "edited after a kill behind a change that had ended: a new run",
        "play fix verify",
        "run1/5 1: play- fix KILL EDIT"
        " =interrupted/continue interrupted run2/5 2: play verify =healthy/complete complete",
    ),
    scenario(
        "edited after a kill between two rounds",
        "verify",
        "run1/5 1: verify- =unhealthy/continue KILL EDIT"
        " interrupted run2/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "edited after a kill before the first round",
        "verify",
        "run1/5 KILL EDIT interrupted run2/5 1: verify =healthy/complete complete",
    ),
    scenario(
        "edited after a kill between round_finished and run_finished",
        "verify",
        "run1/5 1: verify =healthy/complete KILL EDIT"
        " complete run2/5 2: verify =healthy/complete complete",
    ),
    scenario(
        "edited while blocked: the trial all the same",
        "verify",
        "run1/5 1: verify- =unhealthy/blocked trip blocked"
        " EDIT trial2/1 2: verify =healthy/complete complete",
        failures=1,
    ),
    scenario(
        "edited during an interrupted trial: still a trial",
        "verify baseline",
        "run1/5 1: verify baseline=0.1 =unhealthy/blocked trip blocked"
        " trial2/1 2: SIGINT =interrupted/continue interrupted"
        " EDIT trial3/1 3: verify baseline=0.2 =unhealthy/blocked trip blocked",
        failures=1,
    ),
    scenario(
        "edited during a killed trial: still a trial",
        "verify baseline",
        "run1/5 1: verify baseline=0.1 =unhealthy/blocked trip blocked"
        " trial2/1 2: verify~ KILL EDIT =interrupted/continue interrupted"
        " trial3/1 3: verify baseline=0.2 =unhealthy/blocked trip blocked",
        failures=1,
    ),
)

TAMPERED = (
    scenario(
        "by a gate",
        "play verify",
        "run1/5 1: play TAMPER =unhealthy/blocked blocked"
        " trial2/1 2: play verify =healthy/complete complete",
    ),
    scenario(
        "by the gate that would have made it complete",
        "verify",
        "run1/5 1: verify TAMPER =unhealthy/blocked blocked",
    ),
    scenario(
        "by a change",
        "play fix verify",
        "run1/5 1: play- fix TAMPER =unhealthy/blocked blocked"
        " trial2/1 2: play verify =healthy/complete complete",
    ),
    scenario(
        "between two rounds",
        "verify",
        "run1/5 1: verify- =unhealthy/continue TAMPER blocked"
        " trial2/1 2: verify =healthy/complete complete",
    ),
    scenario(
        "in a trial",
        "verify",
        "run1/5 1: verify TAMPER =unhealthy/blocked blocked"
        " trial2/1 2: verify TAMPER =unhealthy/blocked blocked",
    ),
    scenario(
        "and interrupted at once",
        "verify",
        "run1/5 1: verify:interrupted TAMPER SIGINT =unhealthy/blocked blocked",
    ),
    scenario(
        "and killed between round_finished and run_finished",
        "verify",
        "run1/5 1: verify TAMPER =unhealthy/blocked KILL blocked"
        " trial2/1 2: verify =healthy/complete complete",
    ),
    scenario(
        "and killed before the round was closed",
        "verify",
        "run1/5 1: verify TAMPER KILL resume1/5 =unhealthy/blocked blocked"
        " trial2/1 2: verify =healthy/complete complete",
    ),
    scenario(
        "after the round that ended complete",
        "verify",
        "run1/5 1: verify =healthy/complete TAMPER blocked"
        " trial2/1 2: verify =healthy/complete complete",
    ),
    scenario(
        "after the last budgeted round",
        "verify",
        "run1/1 1: verify- =unhealthy/exhausted TAMPER blocked",
        rounds=1,
    ),
    scenario(
        "and killed, and edited again before the round was closed",
        "verify",
        "run1/5 1: verify TAMPER KILL EDIT =interrupted/blocked blocked"
        " trial2/1 2: verify =healthy/complete complete",
    ),
    scenario(
        "and killed, and edited again between two rounds",
        "verify",
        "run1/5 1: verify- =unhealthy/continue TAMPER KILL EDIT blocked"
        " trial2/1 2: verify =healthy/complete complete",
    ),
    scenario(
        "and a new run has forgotten it",
        "verify",
        "run1/5 1: verify TAMPER =unhealthy/blocked blocked"
        " trial2/1 2: verify =healthy/complete complete"
        " run3/5 3: verify- =unhealthy/continue 4: verify =healthy/complete complete",
    ),
)

BEST = (
    scenario(
        "the first measurement is kept, a better one too",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 keep improve =unhealthy/continue"
        " 2: verify baseline=0.6 keep improve =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "a change to the worse is undone, measured again and improved from there",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 keep improve =unhealthy/continue"
        " 2: verify baseline=0.4 putback *baseline=0.5 improve =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "a change with an equal metric is undone",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 keep improve =unhealthy/continue"
        " 2: verify baseline=0.5 putback *baseline=0.5 improve =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "a change that is better by less than min_delta is undone",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 keep improve =unhealthy/continue"
        " 2: verify baseline=0.55 putback *baseline=0.5 improve =unhealthy/continue"
        " 3: verify baseline=0.625 keep improve =unhealthy/continue"
        " 4: verify baseline=0.95 =healthy/complete complete",
        min_delta=0.125,
        failures=9,
    ),
    scenario(
        "a change that cannot be measured is undone",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 keep improve =unhealthy/continue"
        " 2: verify baseline- putback *baseline=0.5 improve =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "improve is undone where a gate fails, and need not be measured again",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 keep improve =unhealthy/continue"
        " 2: verify- putback baseline=0.5 improve =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "improve is undone where an early gate fails, before anything else runs",
        "play scan verify baseline improve",
        "run1/5 1: play scan verify baseline=0.5 keep improve =unhealthy/continue"
        " 2: play- putback scan verify baseline=0.5 improve =unhealthy/continue"
        " 3: play scan verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "nothing is kept before something was measured",
        "verify baseline improve",
        "run1/5 1: verify baseline- improve =unhealthy/continue"
        " 2: verify baseline=0.5 keep improve =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "nothing is kept while another gate fails",
        "play verify baseline improve",
        "run1/5 1: play- verify baseline=0.5 =unhealthy/continue"
        " 2: play verify baseline=0.5 keep improve =unhealthy/continue"
        " 3: play verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "a change to the worse in the last round is undone, and what was restored is measured",
        "verify baseline improve",
        "run1/1 1: verify baseline=0.5 keep improve *verify *baseline=0.4 putback *baseline=0.5"
        " =unhealthy/exhausted exhausted",
        rounds=1,
        min_delta=0,
    ),
    scenario(
        "improve is undone where a gate fails in the last round, and the rest is measured",
        "verify baseline improve",
        "run1/1 1: verify baseline=0.5 keep improve *verify- putback *baseline=0.5"
        " =unhealthy/exhausted exhausted",
        rounds=1,
        min_delta=0,
    ),
    scenario(
        "killed in improve: what it left is judged like any other",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 keep improve~ KILL"
        " resume1/5 =interrupted/continue"
        " 2: verify baseline=0.4 putback *baseline=0.5 improve =unhealthy/continue"
        " 3: verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "killed before the worse was undone: a person may have fixed it, so measured first",
        "verify baseline improve",
        "run1/5 1: verify baseline=0.5 keep improve =unhealthy/continue"
        " 2: verify baseline=0.4 KILL"
        " resume1/5 =interrupted/continue"
        " 3: verify baseline=0.4 putback *baseline=0.5 improve =unhealthy/continue"
        " 4: verify baseline=0.95 =healthy/complete complete",
        min_delta=0,
    ),
    scenario(
        "a new run starts without a best, and keeps only what it has measured itself",
        "verify baseline improve",
        "run1/1 1: verify baseline=0.5 keep improve *verify *baseline=0.6 keep"
        " =unhealthy/exhausted exhausted"
        " run2/1 2: verify baseline=0.5 keep improve *verify *baseline=0.95"
        " =repaired/complete complete",
        rounds=1,
        min_delta=0,
    ),
)

POLICY = (
    scenario(
        "a violation that fails the round ends it at once",
        "play fix verify",
        "run1/5 1: play- fix:policy VIOLATE =unhealthy/continue"
        " 2: play verify =healthy/complete complete",
    ),
    scenario(
        "also in the last gate of a round that would have been complete",
        "verify",
        "run1/1 1: verify VIOLATE =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "a violation that is only undone goes on",
        "play fix verify",
        "run1/5 1: play- fix:policy verify *play =repaired/complete complete",
    ),
    scenario(
        "violations count for the breaker",
        "play fix verify",
        "run1/5 1: play- fix:policy VIOLATE =unhealthy/blocked trip blocked"
        " trial2/1 2: play verify =healthy/complete complete",
        failures=1,
    ),
)

WRITING = (
    scenario(
        "a gate that writes once is measured again, and so are those before it",
        EVERYTHING,
        "run1/5 1: play scan^ verify baseline=0.95 *play *scan =healthy/complete complete",
    ),
    scenario(
        "the last gate rewrites what the others passed",
        "play verify baseline",
        "run1/5 1: play verify baseline=0.95^ *play *verify- =unhealthy/continue"
        " 2: play verify baseline=0.95 =healthy/complete complete",
    ),
    scenario(
        "verify alone rewrites what it passed",
        "verify",
        "run1/5 1: verify^ *verify =healthy/complete complete",
    ),
    scenario(
        "a gate that writes each time fails at the third",
        "fix verify",
        "run1/2 1: verify^ *verify^ *verify^ =unhealthy/continue"
        " 2: fix verify^ *verify^ *verify^ =unhealthy/exhausted exhausted",
        rounds=2,
    ),
    scenario(
        "two gates that undo each other's work do not go on for ever",
        "scan verify",
        "run1/1 1: scan^ verify^ *scan *verify^ *scan^ *scan *verify^ =unhealthy/exhausted"
        " exhausted",
        rounds=1,
    ),
    scenario(
        "they end too where a change is measured and no round follows",
        "scan verify baseline improve",
        "run1/1 1: scan verify baseline=0.5 improve *scan^ *scan^ *scan^ *verify^ *scan^ *verify^"
        " *scan^ *verify^ =unhealthy/exhausted exhausted",
        rounds=1,
    ),
    scenario(
        "a failure that a gate wrote after is measured again",
        "scan fix verify",
        "run1/5 1: scan- fix verify^ *scan *verify =repaired/complete complete",
    ),
)

HISTORIES = (
    *ORDER,
    *EVIDENCE,
    *BREAKER,
    *BUDGET,
    *RESUMED,
    *EDITED,
    *TAMPERED,
    *BEST,
    *POLICY,
    *WRITING,
)


def lived(history: History) -> Mission:
    """The mission after its history, or after as much of it as the loop goes along with."""
    mission = Mission(history.config)
    try:
        tell(mission, history.story)
    except AssertionError:  # reported by a test of its own; finished here as the loop goes on
        while (action := mission.next()) and mission.is_open:
            mission.perform(action, Result(Outcome.PASSED))
    return mission
