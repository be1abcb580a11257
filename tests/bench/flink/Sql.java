import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.TableEnvironment;

/** Runs a file of SQL statements in this JVM; its INSERTs are one statement set, run at the end and waited for. */
public final class Sql {
    public static void main(String[] args) throws Exception {
        TableEnvironment tables = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        StatementSet inserts = tables.createStatementSet();
        for (String statement : Files.readString(Path.of(args[0])).replaceAll("(?m)^--.*$", "").split("(?m);\\s*$")) {
            String text = statement.strip();
            if (text.startsWith("SET ")) {
                String[] words = text.substring(4).split("=", 2);
                tables.getConfig().set(words[0].strip().replace("'", ""), words[1].strip().replace("'", ""));
            } else if (text.startsWith("INSERT ")) {
                inserts.addInsertSql(text);
            } else if (!text.isEmpty()) {
                tables.executeSql(text);
            }
        }
        inserts.execute().await();
    }
}
