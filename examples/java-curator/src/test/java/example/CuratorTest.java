package example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.CreateMode;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Curator, when its session expires and when the reply to its next create is lost. */
class CuratorTest {
    private static Parkeeper zookeeper;

    @BeforeAll
    static void start() throws Exception {
        zookeeper = new Parkeeper(2);
    }

    @AfterAll
    static void stop() throws Exception {
        zookeeper.close();
    }

    @BeforeEach
    void emptyTree() throws Exception {
        zookeeper.ask("reset", "");
    }

    private static CuratorFramework connect() throws Exception {
        CuratorFramework curator = CuratorFrameworkFactory.newClient(
                zookeeper.hosts(), 10_000, 5_000, new RetryNTimes(50, 20));
        curator.start();
        assertTrue(curator.blockUntilConnected(10, TimeUnit.SECONDS));
        return curator;
    }

    private static String session(CuratorFramework curator) throws Exception {
        return "\"0x" + Long.toHexString(curator.getZookeeperClient().getZooKeeper().getSessionId()) + "\"";
    }

    @Test
    void anExpiredSessionIsReplacedAndItsNextCreateSurvivesALostReply() throws Exception {
        try (CuratorFramework curator = connect()) {
            curator.create().withMode(CreateMode.EPHEMERAL).forPath("/mine");
            String old = session(curator);
            CountDownLatch lost = new CountDownLatch(1);
            CountDownLatch back = new CountDownLatch(1);
            curator.getConnectionStateListenable().addListener((client, state) -> {
                if (state == ConnectionState.LOST) {
                    lost.countDown();
                } else if (state == ConnectionState.RECONNECTED) {
                    back.countDown();
                }
            });

            zookeeper.ask("expire", "{\"session\": \"/mine\"}");
            assertEquals("{\"result\": {}}", zookeeper.ask("tree", ""));
            assertTrue(lost.await(10, TimeUnit.SECONDS));
            assertTrue(back.await(10, TimeUnit.SECONDS));
            assertNotEquals(old, session(curator));

            // It happens, and Curator is not told; `withProtection` looks before it creates another.
            zookeeper.ask("lose", "{\"op\": \"create\", \"path\": \"/queue/*\"}");
            zookeeper.ask("load", "{\"tree\": {\"/queue\": \"\"}}");
            String made = curator.create().withProtection()
                    .withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/queue/item-");
            assertEquals(1, curator.getChildren().forPath("/queue").size());
            assertTrue(made.endsWith("0000000000"), made);
            assertTrue(zookeeper.ask("faults", "").contains("\"hits\": 1"));
        }
    }

    @Test
    void leadershipPassesOnWhenTheLeadersSessionExpires() throws Exception {
        try (CuratorFramework one = connect(); CuratorFramework two = connect();
                LeaderLatch first = new LeaderLatch(one, "/leader"); LeaderLatch second = new LeaderLatch(two, "/leader")) {
            first.start();
            assertTrue(first.await(10, TimeUnit.SECONDS));
            second.start();
            assertFalse(second.await(50, TimeUnit.MILLISECONDS));
            zookeeper.ask("expire", "{\"session\": " + session(one) + "}");
            assertTrue(second.await(10, TimeUnit.SECONDS));
        }
    }
}
