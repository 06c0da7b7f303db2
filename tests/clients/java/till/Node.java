package till;

import static till.Bytes.require;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.AbstractStub;
import io.netty.channel.Channel;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.handler.ssl.SslHandler;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.io.IOException;
import java.net.Socket;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * A channel to a member's node: TLS 1.3, both ends show a key, and only the key is believed (docs/protocol.md,
 * section 3).
 *
 * <p>The TLS is the platform's own, which has Ed25519. It lies under the channel, which believes itself in plain
 * text: Debian's netty is built without ALPN on the platform's TLS. With a netty that has it,
 * GrpcSslContexts.configure(settings, SslProvider.JDK) with the same trust manager does all this.
 */
final class Node implements AutoCloseable {
    private static final String NAME = "vitrail";
    /** Every call has a deadline: a node refuses one without. */
    private static final int DEADLINE_SECONDS = 10;

    private static final EventLoopGroup LOOP = new NioEventLoopGroup(1, new DefaultThreadFactory(NAME, true));

    private final ManagedChannel channel;

    private Node(ManagedChannel channel) {
        this.channel = channel;
    }

    static Node of(Roster.Member member, Ed25519.Till till) throws GeneralSecurityException, IOException {
        SSLContext tls = tls(member.key(), till);
        var channel = NettyChannelBuilder.forTarget(member.grpc())
                .overrideAuthority(NAME)
                .eventLoopGroup(LOOP)
                .channelFactory(() -> under(tls))
                .usePlaintext();
        return new Node(channel.build());
    }

    private static SSLContext tls(byte[] key, Ed25519.Till till) throws GeneralSecurityException, IOException {
        var password = new char[0]; // The store stays in this memory.
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, password);
        store.setKeyEntry(NAME, till.secret(), password, new Certificate[] {till.certificate()});
        var keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, password);
        SSLContext tls = SSLContext.getInstance("TLSv1.3");
        tls.init(keys.getKeyManagers(), new TrustManager[] {new OneKey(key)}, null);
        return tls;
    }

    /** A connection that shakes hands before it carries anything. */
    private static Channel under(SSLContext tls) {
        SSLEngine engine = tls.createSSLEngine();
        engine.setUseClientMode(true);
        SSLParameters settings = engine.getSSLParameters();
        settings.setProtocols(new String[] {"TLSv1.3"});
        settings.setApplicationProtocols(new String[] {"h2"});
        engine.setSSLParameters(settings);
        var connection = new NioSocketChannel();
        connection.pipeline().addFirst(new SslHandler(engine));
        return connection;
    }

    /** A service of the node, for one call. */
    <S extends AbstractStub<S>> S service(Function<ManagedChannel, S> stub) {
        return stub.apply(channel).withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }

    /** Believes the holder of one key and nobody else: there is no authority whom a chain could lead to. */
    private static final class OneKey extends X509ExtendedTrustManager {
        private final byte[] key;

        OneKey(byte[] key) {
            this.key = key;
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) throws CertificateException {
            try {
                require(Arrays.equals(Ed25519.keyOf(chain[0]), key), "another key than the roster's");
            } catch (IllegalArgumentException another) {
                throw new CertificateException(another);
            }
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket)
                throws CertificateException {
            checkServerTrusted(chain, type);
        }

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine)
                throws CertificateException {
            checkServerTrusted(chain, type);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) throws CertificateException {
            throw new CertificateException("a till serves nobody");
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket)
                throws CertificateException {
            checkClientTrusted(chain, type);
        }

        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine)
                throws CertificateException {
            checkClientTrusted(chain, type);
        }

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
