import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;

/** MariaDB by MySQL's JDBC driver: ConnectorJ PORT. */
class ConnectorJ {
    static void talk(String port, String options) throws SQLException {
        String url = "jdbc:mysql://127.0.0.1:" + port + "/shop?user=root&sslMode=DISABLED&" + options;
        try (Connection connection = DriverManager.getConnection(url)) {
            try (PreparedStatement find = connection.prepareStatement("SELECT name FROM item WHERE id = ?")) {
                for (int id = 1; id <= 2; id++) {
                    find.setInt(1, id);
                    find.executeQuery().close();
                }
            }
            try (Statement statement = connection.createStatement()) {
                statement.execute("SELECT * FROM missing");
                throw new AssertionError("no error");
            } catch (SQLException expected) {
                if (expected.getErrorCode() != 1146) throw expected;
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
            connection.rollback();
        }
    }

    public static void main(String[] arguments) throws SQLException {
        talk(arguments[0], "");
        talk(arguments[0], "useServerPrepStmts=true&cachePrepStmts=true&useCompression=true");
    }
}
