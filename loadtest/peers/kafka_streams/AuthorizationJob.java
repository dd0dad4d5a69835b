import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayDeque;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The minimal authorisation job (loadtest/peers/job.py says what it does) in Kafka Streams: Processor API, one
 * RocksDB store behind a changelog.
 *
 * <p>Arguments: BOOTSTRAP APPLICATION_ID REQUESTS DECISIONS PARTITIONS STATE_FOLDER GUARANTEE [COMMIT_MS]; without
 * COMMIT_MS Kafka Streams' own commit interval holds. Ends when its standard input does.
 */
public final class AuthorizationJob {
    private static final String ACCOUNTS = "accounts";
    private static final long LIMIT = 1_000_000;
    private static final int KEPT = 16;

    record Request(
            @JsonProperty("request_id") String requestId,
            @JsonProperty("account_id") String accountId,
            @JsonProperty("amount") long amount) {}

    /** An array in JSON. As values of a map they would be slow: Jackson interns the name of every field it reads. */
    @JsonFormat(shape = JsonFormat.Shape.ARRAY)
    @JsonPropertyOrder({"request_id", "approved", "open_to_buy"})
    record Answer(
            @JsonProperty("request_id") String requestId,
            @JsonProperty("approved") boolean approved,
            @JsonProperty("open_to_buy") long openToBuy) {}

    record Decision(
            @JsonProperty("request_id") String requestId,
            @JsonProperty("account_id") String accountId,
            @JsonProperty("approved") boolean approved,
            @JsonProperty("open_to_buy") long openToBuy) {}

    /** One row; the answers are in the order they were given. */
    static final class Account {
        @JsonProperty long limit = LIMIT;
        @JsonProperty long held;
        @JsonProperty ArrayDeque<Answer> answers = new ArrayDeque<>(KEPT + 1);

        Answer known(String requestId) {
            for (Answer answer : answers) {
                if (answer.requestId().equals(requestId)) {
                    return answer;
                }
            }
            return null;
        }

        Answer decide(Request request) {
            boolean approved = request.amount() <= limit - held;
            if (approved) {
                held += request.amount();
            }
            Answer answer = new Answer(request.requestId(), approved, limit - held);
            answers.addLast(answer);
            if (answers.size() > KEPT) {
                answers.removeFirst();
            }
            return answer;
        }
    }

    static final class Authorize implements Processor<String, Request, String, Decision> {
        private ProcessorContext<String, Decision> context;
        private KeyValueStore<String, Account> accounts;

        @Override
        public void init(ProcessorContext<String, Decision> given) {
            context = given;
            accounts = given.getStateStore(ACCOUNTS);
        }

        @Override
        public void process(Record<String, Request> record) {
            Request request = record.value();
            Account account = accounts.get(record.key());
            if (account == null) {
                account = new Account();
            }
            Answer answer = account.known(request.requestId());
            if (answer == null) {
                answer = account.decide(request);
                accounts.put(record.key(), account);
            }
            context.forward(record.withValue(new Decision(
                    request.requestId(), request.accountId(), answer.approved(), answer.openToBuy())));
        }
    }

    public static void main(String[] arguments) {
        KafkaStreams streams = new KafkaStreams(topology(arguments[2], arguments[3]), settings(arguments));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        endWithParent();
        streams.start();
    }

    private static Topology topology(String requests, String decisions) {
        Serde<String> keys = Serdes.String();
        return new Topology()
                .addSource("requests", keys.deserializer(), json(Request.class).deserializer(), requests)
                .addProcessor("authorize", Authorize::new, "requests")
                .addStateStore(
                        Stores.keyValueStoreBuilder(
                                Stores.persistentKeyValueStore(ACCOUNTS), keys, json(Account.class)),
                        "authorize")
                .addSink("decisions", decisions, keys.serializer(), json(Decision.class).serializer(), "authorize");
    }

    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[5]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[6]);
        if (arguments.length > 7) {
            settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments[7]);
        }
        // Kafka Streams lets records wait 100 ms for company: no job whose answers are waited for leaves that so.
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 1);
        return settings;
    }

    private static <T> Serde<T> json(Class<T> type) {
        ObjectMapper mapper = new ObjectMapper();
        ObjectReader reader = mapper.readerFor(type);
        ObjectWriter writer = mapper.writerFor(type);
        return Serdes.serdeFrom(
                (topic, value) -> {
                    try {
                        return value == null ? null : writer.writeValueAsBytes(value);
                    } catch (JsonProcessingException error) {
                        throw new UncheckedIOException(error);
                    }
                },
                (topic, bytes) -> {
                    try {
                        return bytes == null ? null : reader.readValue(bytes);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                });
    }

    /** Standard input is a pipe from the run: it closes when the run ends, however that happens. */
    private static void endWithParent() {
        Thread.ofPlatform().daemon().start(() -> {
            try {
                System.in.transferTo(java.io.OutputStream.nullOutputStream());
            } catch (IOException broken) {
                // The pipe is gone: so is the parent.
            }
            Runtime.getRuntime().halt(0);
        });
    }
}
