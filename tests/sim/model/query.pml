/* One query that writes, by the rules of src/swarm: claims, results, the two decisions, collection.
 *
 * Every process may stop for good before any step (it crashed) or be overtaken between any two (it
 * slept). Nothing knows the time: whoever thinks that another is dead may be wrong.
 *
 *   claim      put-if-not-exists of number k; by anybody at any moment
 *   result     put-if-not-exists: the first one counts
 *   end        put-if-not-exists: COMMIT of the result, or CANCELLED; whoever decides or reads a
 *              decision looks for the manifest afterwards, and takes back its own where that is gone
 *   ledger     the log up to the head is searched for the query's transaction; then the next slot
 *              is put, if nobody took it
 *   out        put-if-not-exists, then the query may be collected
 *   collect    result, manifest, out, end: in this order
 *
 * Mistakes to be caught, one at a time: WITHOUT_TXN, COLLECT_EARLY, NEVER_LOOK (for the manifest). */

#define NONE 0
#define COMMIT 1
#define CANCELLED 2

byte result = 0;  /* who wrote it; 0: nobody */
byte claims = 0;
byte end = NONE;
bool manifest = true;
bool out = false;
byte head = 0;    /* slots of the log that are taken */
bool txn = false; /* one of them is ours */
byte commits = 0;
bool cancelled = false; /* somebody was told that nothing will be written */

#define STEP if :: skip :: goto dead fi

proctype Worker(byte me; bool assigned)
{
    byte number = 0;
    if
    :: assigned -> skip
    :: else ->
        STEP;
        d_step { number = claims + 1; }
        STEP;
        atomic {
            if
            :: claims < number -> claims = number
            :: else -> goto dead /* another one has this number */
            fi
        }
    fi;
    STEP;
    if
    :: end != NONE -> goto dead
    :: else -> skip
    fi;
    STEP;
    atomic {
        if
        :: result == 0 -> result = me
        :: else -> skip
        fi
    }
dead:
    skip
}

/* Decides `what`; mine: it was this one that did; seen: the decision that stands, NONE: collected. */
inline decide(what, mine, seen)
{
    atomic {
        if
        :: end == NONE -> end = what; mine = true
        :: else -> mine = false
        fi;
        seen = end
    }
#ifndef NEVER_LOOK
    STEP;
    if
    :: manifest -> skip
    :: else ->
        seen = NONE;
        if
        :: mine -> STEP; end = NONE
        :: else -> skip
        fi
    fi
#endif
}

proctype Finisher()
{
    bool mine = false, found = false;
    byte seen = NONE, at = 0;
    do
    :: result != 0 -> break
    :: end == COMMIT -> break
    :: end == CANCELLED -> goto dead
    :: !manifest -> goto dead
    od;
    STEP;
    if
    :: end == NONE -> decide(COMMIT, mine, seen)
    :: else -> seen = end;
#ifndef NEVER_LOOK
        STEP;
        if
        :: manifest -> skip
        :: else -> seen = NONE
        fi
#endif
    fi;
    if
    :: seen != COMMIT -> goto dead
    :: else -> skip
    fi;
    do
    :: STEP;
        d_step { at = head; found = txn; }
#ifndef WITHOUT_TXN
        if
        :: found -> break
        :: else -> skip
        fi;
#endif
        STEP;
        atomic {
            if
            :: head == at -> head = head + 1; txn = true; commits = commits + 1; found = true;
                assert(commits == 1); /* once, whoever does it and however often */
                assert(!cancelled)    /* never after somebody was told that it will not be */
            :: else -> found = false
            fi
        }
        if
        :: found -> break
        :: else -> skip
        fi
    od;
    STEP;
    out = true;
dead:
    skip
}

proctype Canceller()
{
    bool mine = false;
    byte seen = NONE;
    STEP;
    decide(CANCELLED, mine, seen);
    if
    :: seen == CANCELLED -> atomic { assert(commits == 0); cancelled = true }
    :: else -> skip
    fi;
dead:
    skip
}

proctype Collector()
{
    STEP;
#ifdef COLLECT_EARLY
    end != NONE;
#else
    end == CANCELLED || (end == COMMIT && out);
#endif
    atomic {
        assert(end != COMMIT || commits > 0); /* what is to be committed is, before it is cleared away */
        result = 0
    };
    STEP;
    manifest = false;
    STEP;
    out = false;
    STEP;
    end = NONE;
dead:
    skip
}

init
{
    atomic {
        run Worker(1, true);
        run Worker(2, false);
        run Finisher();
        run Finisher();
        run Canceller();
        run Collector()
    }
}

