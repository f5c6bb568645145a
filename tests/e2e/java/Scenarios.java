import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * What programs do with ZooKeeper's own client, each scenario a transcript on standard output that the test knows.
 *
 * A line that begins with "?" asks the test for something (drop, heal); it is done when a line comes back.
 * Arguments: scenario, address, address through a proxy that drops connections.
 */
public final class Scenarios {
    static final int PATIENCE = 20;
    static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));

    static String address;
    static String proxied;

    /** A watcher that remembers. */
    static final class Seen implements Watcher {
        private final String name;
        private final List<String> told = new ArrayList<>();
        private Event.KeeperState state = Event.KeeperState.Disconnected;

        Seen(String name) {
            this.name = name;
        }

        @Override
        public synchronized void process(WatchedEvent event) {
            if (event.getType() == Event.EventType.None) {
                state = event.getState();
            } else {
                told.add(event.getType() + " " + event.getPath());
            }
            notifyAll();
        }

        synchronized void await(Event.KeeperState wanted) throws Exception {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
            while (state != wanted) {
                long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
                if (left <= 0) {
                    throw new IllegalStateException("still " + state + ", not " + wanted);
                }
                wait(left);
            }
        }

        /** Wait for that many events; what came is printed, in an order of our own where the server has none. */
        synchronized void print(int count, boolean sorted) throws Exception {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
            while (told.size() < count && System.nanoTime() < end) {
                wait(100);
            }
            if (sorted) {
                Collections.sort(told);
            }
            for (String each : told) {
                say(name + ": " + each);
            }
            told.clear();
        }

        void print(int count) throws Exception {
            print(count, false);
        }
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    static void ask(String what) throws Exception {
        say("?" + what);
        if (ANSWERS.readLine() == null) {
            throw new IllegalStateException("the test has left");
        }
    }

    static ZooKeeper open(String where, int timeout, Seen seen) throws Exception {
        ZooKeeper zk = new ZooKeeper(where, timeout, seen);
        seen.await(Watcher.Event.KeeperState.SyncConnected);
        return zk;
    }

    static String create(ZooKeeper zk, String path, CreateMode mode) throws Exception {
        return zk.create(path, path.getBytes(), Ids.OPEN_ACL_UNSAFE, mode);
    }

    static void create(ZooKeeper zk, String... paths) throws Exception {
        for (String path : paths) {
            create(zk, path, CreateMode.PERSISTENT);
        }
    }

    static String children(ZooKeeper zk, String path) throws Exception {
        List<String> names = new ArrayList<>(zk.getChildren(path, false));
        Collections.sort(names);
        return path + ": " + names;
    }

    /** A name of the error, or "ok". */
    interface Attempt {
        void run() throws Exception;
    }

    static void attempt(String what, Attempt attempt) throws Exception {
        try {
            attempt.run();
            say(what + ": ok");
        } catch (KeeperException error) {
            say(what + ": " + error.code() + (error.getPath() == null ? "" : " " + error.getPath()));
        }
    }

    static void znodes() throws Exception {
        Seen seen = new Seen("default");
        ZooKeeper zk = open(address, 10_000, seen);
        Stat stat = new Stat();
        say(zk.create("/z", "one".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, stat));
        say(new String(zk.getData("/z", false, stat)) + " version " + stat.getVersion());
        stat = zk.setData("/z", "three".getBytes(), 0);
        say("version " + stat.getVersion() + ", " + stat.getDataLength() + " bytes");
        attempt("stale set", () -> zk.setData("/z", new byte[0], 0));
        attempt("create again", () -> create(zk, "/z"));
        attempt("no parent", () -> create(zk, "/none/x"));
        attempt("delete nothing", () -> zk.delete("/none", -1));
        say(create(zk, "/z/s-", CreateMode.PERSISTENT_SEQUENTIAL));
        say(create(zk, "/z/s-", CreateMode.EPHEMERAL_SEQUENTIAL));
        attempt("not empty", () -> zk.delete("/z", -1));
        attempt("child of an ephemeral", () -> create(zk, "/z/s-0000000001/x"));
        say(zk.getEphemerals().toString());
        say("descendants " + zk.getAllChildrenNumber("/z"));
        say("mine " + (zk.exists("/z/s-0000000001", false).getEphemeralOwner() == zk.getSessionId()));
        zk.create("/z/null", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        say("null data " + (zk.getData("/z/null", false, null) == null));
        zk.create("/z/ttl", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, stat, 1500);
        create(zk, "/z/container", CreateMode.CONTAINER);
        create(zk, "/z/container/x");
        attempt("locked", () -> zk.create("/z/locked", null, Ids.READ_ACL_UNSAFE, CreateMode.PERSISTENT));
        attempt("write it", () -> zk.setData("/z/locked", null, -1));
        attempt("acl without identity", () -> zk.setACL("/z", Ids.CREATOR_ALL_ACL, -1));
        zk.addAuthInfo("digest", "u:p".getBytes());
        attempt("acl", () -> zk.setACL("/z/null", Ids.CREATOR_ALL_ACL, 0));
        say(zk.getACL("/z/null", stat).toString().replace("\n", "") + " aversion " + stat.getAversion());
        say(zk.whoAmI().toString().replace("\n", "").replace("\r", "").trim());
        ZooKeeper other = open(address, 10_000, new Seen("other"));
        attempt("not for others", () -> other.getData("/z/null", false, null));
        other.close();
        say(children(zk, "/z"));
        // The reaper of the server takes both away, in its own time.
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
        zk.delete("/z/container/x", -1);
        while (zk.getChildren("/z", false).size() > 4 && System.nanoTime() < end) {
            Thread.sleep(50);
        }
        say(children(zk, "/z"));
        zk.close();
    }

    static void multi() throws Exception {
        ZooKeeper zk = open(address, 10_000, new Seen("default"));
        List<OpResult> results = zk.multi(Arrays.asList(
            Op.create("/m", "x".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.create("/m/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL),
            Op.setData("/m", "y".getBytes(), 0),
            Op.check("/m", 1),
            Op.delete("/m/s-0000000000", 0)));
        say(((OpResult.CreateResult) results.get(0)).getPath());
        say(((OpResult.CreateResult) results.get(1)).getPath());
        say("version " + ((OpResult.SetDataResult) results.get(2)).getStat().getVersion());
        say(results.get(3).getClass().getSimpleName() + " " + results.get(4).getClass().getSimpleName());
        try {
            zk.multi(Arrays.asList(Op.delete("/m", 1), Op.check("/m", 9), Op.delete("/none", -1)));
            say("taken");
        } catch (KeeperException error) {
            say(error.code() + " at " + error.getPath());
            for (OpResult each : error.getResults()) {
                say("error " + ((OpResult.ErrorResult) each).getErr());
            }
        }
        say(zk.exists("/m", false) == null ? "gone" : "still there");
        zk.transaction().create("/m/t", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT).delete("/m/t", 0).commit();
        results = zk.multi(Arrays.asList(Op.getData("/m"), Op.getChildren("/m"), Op.getData("/none")));
        say(new String(((OpResult.GetDataResult) results.get(0)).getData()));
        say(((OpResult.GetChildrenResult) results.get(1)).getChildren().toString());
        say("error " + ((OpResult.ErrorResult) results.get(2)).getErr());
        zk.close();
    }

    static void pipeline() throws Exception {
        int amount = 500;
        ZooKeeper zk = open(address, 10_000, new Seen("default"));
        create(zk, "/p");
        List<String> done = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch latch = new CountDownLatch(4 * amount);
        for (int i = 0; i < amount; i++) {
            int number = i;
            zk.create("/p/n-", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL,
                (rc, path, ctx, name) -> {
                    done.add(rc + " " + name);
                    latch.countDown();
                }, null);
            zk.setData("/p", Integer.toString(number).getBytes(), number, (rc, path, ctx, stat) -> {
                done.add(rc + " version " + stat.getVersion());
                latch.countDown();
            }, null);
            zk.getData("/p", false, (rc, path, ctx, data, stat) -> {
                done.add(rc + " data " + new String(data) + " children " + stat.getNumChildren());
                latch.countDown();
            }, null);
            zk.sync("/p", (rc, path, ctx) -> {
                done.add(rc + " synced " + path);
                latch.countDown();
            }, null);
        }
        say("all answered " + latch.await(PATIENCE, TimeUnit.SECONDS));
        int right = 0;
        for (int i = 0; i < amount; i++) {
            List<String> expected = Arrays.asList(
                String.format("0 /p/n-%010d", i),
                "0 version " + (i + 1),
                "0 data " + i + " children " + (i + 1),
                "0 synced /p");
            if (done.subList(4 * i, 4 * i + 4).equals(expected)) {
                right++;
            }
        }
        say(right + " of " + amount + " in order");
        zk.close();
    }

    static void watches() throws Exception {
        Seen one = new Seen("one");
        Seen persistent = new Seen("persistent");
        Seen recursive = new Seen("recursive");
        ZooKeeper zk = open(address, 10_000, one);
        ZooKeeper other = open(address, 10_000, new Seen("other"));
        create(zk, "/w", "/w/a");
        zk.getData("/w/a", one, null);
        zk.exists("/w/b", one);
        zk.getChildren("/w", one);
        zk.addWatch("/w/a", persistent, AddWatchMode.PERSISTENT);
        zk.addWatch("/w", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        other.setData("/w/a", null, -1);
        other.setData("/w/a", null, -1);
        create(other, "/w/b", "/w/a/x");
        other.delete("/w/b", -1);
        other.delete("/w/a/x", -1);
        one.print(3);
        persistent.print(4);
        recursive.print(6);
        // Removal: one of two on a path leaves the server's watch, the last one takes it away.
        Seen second = new Seen("second");
        zk.getData("/w/a", one, null);
        zk.getData("/w/a", second, null);
        attempt("remove second", () -> zk.removeWatches("/w/a", second, Watcher.WatcherType.Data, false));
        second.print(1);
        attempt("remove it again", () -> zk.removeWatches("/w/a", second, Watcher.WatcherType.Data, false));
        attempt("remove persistent", () -> zk.removeWatches("/w/a", persistent, Watcher.WatcherType.Any, false));
        persistent.print(1);
        attempt("remove recursive", () -> zk.removeAllWatches("/w", Watcher.WatcherType.Any, false));
        recursive.print(1);
        attempt("nobody", () -> zk.removeAllWatches("/w/none", Watcher.WatcherType.Any, false));
        other.setData("/w/a", null, -1);
        create(other, "/w/c");
        zk.sync("/");
        one.print(1);
        recursive.print(0);
        persistent.print(0);
        second.print(0);
        other.close();
        zk.close();
    }

    /** Watches of before a lost connection. With `persistent`, the client says setWatches2, else setWatches. */
    static void reconnect(boolean persistent) throws Exception {
        Seen state = new Seen("state");
        Seen data = new Seen("data");
        Seen exist = new Seen("exist");
        Seen child = new Seen("child");
        Seen lasting = new Seen("persistent");
        Seen recursive = new Seen("recursive");
        ZooKeeper zk = open(proxied, 10_000, state);
        ZooKeeper other = open(address, 10_000, new Seen("other"));
        create(zk, "/w", "/w/same", "/w/changed", "/w/deleted", "/w/remade", "/w/seen", "/w/family", "/w/family/x",
            "/w/quiet", "/w/lost", "/w/p", "/w/r", "/w/r/x");
        create(zk, "/w/mine", CreateMode.EPHEMERAL);
        for (String name : Arrays.asList("same", "changed", "deleted", "remade")) {
            zk.getData("/w/" + name, data, null);
        }
        for (String name : Arrays.asList("absent", "new", "seen")) {
            zk.exists("/w/" + name, exist);
        }
        for (String name : Arrays.asList("family", "quiet", "lost")) {
            zk.getChildren("/w/" + name, child);
        }
        if (persistent) {
            zk.addWatch("/w/p", lasting, AddWatchMode.PERSISTENT);
            zk.addWatch("/w/r", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        }
        long session = zk.getSessionId();
        ask("drop");
        state.await(Watcher.Event.KeeperState.Disconnected);
        other.setData("/w/changed", null, -1);
        other.setData("/w/changed", null, -1);
        other.delete("/w/deleted", -1);
        other.delete("/w/remade", -1);
        create(other, "/w/remade", "/w/new");
        other.delete("/w/seen", -1);
        create(other, "/w/family/y");
        other.delete("/w/family/x", -1);
        other.delete("/w/lost", -1);
        other.setData("/w/quiet", null, -1);
        other.setData("/w/p", null, -1);
        other.setData("/w/r/x", null, -1);
        ask("heal");
        state.await(Watcher.Event.KeeperState.SyncConnected);
        say("same session " + (zk.getSessionId() == session));
        say("ephemeral " + (zk.exists("/w/mine", false) != null));
        data.print(3, true);
        exist.print(2, true);
        child.print(2, true);
        say("-- what did not change is watched on");
        other.setData("/w/same", null, -1);
        other.setData("/w/changed", null, -1);
        create(other, "/w/absent", "/w/quiet/x", "/w/family/z");
        other.setData("/w/p", null, -1);
        create(other, "/w/p/x", "/w/r/y");
        other.setData("/w/r/x", null, -1);
        data.print(1);
        exist.print(1);
        child.print(1);
        if (persistent) {
            lasting.print(2);
            recursive.print(2);
        }
        zk.exists("/w", false); // what was sent before the answer has been told by now
        data.print(0);
        exist.print(0);
        child.print(0);
        lasting.print(0);
        recursive.print(0);
        other.close();
        zk.close();
    }

    static void expiry() throws Exception {
        Seen state = new Seen("state");
        Seen fate = new Seen("fate");
        ZooKeeper zk = open(proxied, 1000, state);
        ZooKeeper other = open(address, 10_000, new Seen("other"));
        create(zk, "/mine", CreateMode.EPHEMERAL);
        other.exists("/mine", fate);
        ask("drop");
        state.await(Watcher.Event.KeeperState.Disconnected);
        fate.print(1);
        say("ephemeral " + (other.exists("/mine", false) != null));
        ask("heal");
        state.await(Watcher.Event.KeeperState.Expired);
        attempt("afterwards", () -> zk.exists("/", false));
        other.close();
        zk.close();
    }

    /** A session and its ephemeral, kept over the end of whatever server has it. */
    static void moves() throws Exception {
        Seen state = new Seen("state");
        ZooKeeper zk = open(address, 10_000, state);
        create(zk, "/moving", CreateMode.EPHEMERAL);
        long session = zk.getSessionId();
        Seen seen = new Seen("data");
        zk.getData("/moving", seen, null);
        ask("kill");
        state.await(Watcher.Event.KeeperState.Disconnected);
        state.await(Watcher.Event.KeeperState.SyncConnected);
        zk.setData("/moving", "moved".getBytes(), 0);
        seen.print(1);
        Stat stat = new Stat();
        say(new String(zk.getData("/moving", false, stat)));
        say("same session " + (zk.getSessionId() == session && stat.getEphemeralOwner() == session));
        zk.close();
    }

    public static void main(String[] args) throws Exception {
        address = args[1];
        proxied = args[2];
        switch (args[0]) {
            case "znodes" -> znodes();
            case "multi" -> multi();
            case "pipeline" -> pipeline();
            case "watches" -> watches();
            case "setWatches" -> reconnect(false);
            case "setWatches2" -> reconnect(true);
            case "expiry" -> expiry();
            case "moves" -> moves();
            default -> throw new IllegalArgumentException(args[0]);
        }
        say("end");
    }

    private Scenarios() {
    }
}
