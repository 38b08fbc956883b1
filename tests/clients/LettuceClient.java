import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.api.StatefulRedisConnection;
import java.util.ArrayList;
import java.util.List;

/** Redis by Lettuce: LettuceClient PORT. */
class LettuceClient {
    public static void main(String[] arguments) throws Exception {
        RedisClient client = RedisClient.create("redis://127.0.0.1:" + arguments[0] + "/3");
        try (StatefulRedisConnection<String, String> connection = client.connect()) {
            connection.sync().set("k:1", "hush");
            // Many in flight on one connection.
            List<RedisFuture<String>> answers = new ArrayList<>();
            for (int number = 0; number < 300; number++) answers.add(connection.async().get("cart:" + number));
            for (RedisFuture<String> answer : answers) answer.get();
            connection.sync().multi();
            connection.sync().incr("orders");
            connection.sync().exec();
            connection.sync().lpush("k:1", "hush");
            throw new AssertionError("no error");
        } catch (RedisCommandExecutionException expected) {
            if (!expected.getMessage().startsWith("WRONGTYPE")) throw expected;
        } finally {
            client.shutdown();
        }
    }
}
