import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** PostgreSQL by its JDBC driver: PgJdbc PORT. */
class PgJdbc {
    static void find(PreparedStatement find, int id) throws SQLException {
        find.setInt(1, id);
        try (ResultSet rows = find.executeQuery()) {
            rows.next();
        }
    }

    public static void main(String[] arguments) throws SQLException {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/postgres?user=postgres";
        try (Connection connection = DriverManager.getConnection(url)) {
            // From the fifth time on it is prepared by name, from the sixth on with binary values.
            try (PreparedStatement find = connection.prepareStatement("SELECT name FROM item WHERE id = ?")) {
                for (int time = 1; time <= 8; time++) find(find, 1);
            }
            try (Statement statement = connection.createStatement()) {
                statement.executeQuery("SELECT 'hush'").close();
                statement.execute("SELECT * FROM missing");
                throw new AssertionError("no error");
            } catch (SQLException expected) {
                if (!expected.getSQLState().equals("42P01")) throw expected;
            }
            connection.setAutoCommit(false);
            try (PreparedStatement update = connection.prepareStatement("UPDATE item SET name = ? WHERE id = ?")) {
                for (int id = 1; id <= 3; id++) {
                    update.setString(1, "hush");
                    update.setInt(2, id);
                    update.addBatch();
                }
                update.executeBatch();
            }
            // In pieces, by a portal that stays open.
            try (Statement pieces = connection.createStatement()) {
                pieces.setFetchSize(40);
                try (ResultSet rows = pieces.executeQuery("SELECT generate_series(1, 100)")) {
                    while (rows.next()) rows.getInt(1);
                }
            }
            connection.rollback();
        }
    }
}
