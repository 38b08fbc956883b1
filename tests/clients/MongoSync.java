import com.mongodb.MongoWriteException;
import com.mongodb.client.MongoClient;
import com.mongodb.client.MongoClients;
import com.mongodb.client.MongoCollection;
import org.bson.Document;

/** MongoDB by its Java driver: MongoSync PORT. */
class MongoSync {
    public static void main(String[] arguments) {
        try (MongoClient client = MongoClients.create("mongodb://127.0.0.1:" + arguments[0] + "/?directConnection=true")) {
            MongoCollection<Document> bills = client.getDatabase("shop").getCollection("bills");
            bills.insertOne(new Document("_id", 1).append("name", "hush"));
            bills.find(new Document("_id", 1)).first();
            bills.updateOne(new Document("_id", 1), new Document("$set", new Document("name", "hush")));
            try {
                bills.insertOne(new Document("_id", 1));
                throw new AssertionError("no error");
            } catch (MongoWriteException expected) {
                bills.deleteOne(new Document("_id", 1));
            }
        }
    }
}
