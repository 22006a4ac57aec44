package rpc_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/certs"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// listenAs starts a server by its certificate and returns its address.
func listenAs(t *testing.T, source *certs.Source, register func(*grpc.Server), changes ...func(*rpc.ServerOptions)) string {
	t.Helper()
	o := rpc.ServerOptions{Logger: testkit.Logger(t), Verifier: testkit.Tokens(t), Certs: source}
	for _, change := range changes {
		change(&o)
	}
	srv, err := rpc.NewServer(o)
	require.NoError(t, err)
	register(srv)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	t.Cleanup(func() {
		srv.Stop()
		require.NoError(t, <-served)
	})
	return listener.Addr().String()
}

// dialAs connects by a certificate to a server that must be register.
func dialAs(t *testing.T, address string, source *certs.Source) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial("passthrough:///"+address, rpc.DialOptions{Token: tokenOf(t), TLS: source.Client("register"), Timeout: 5 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// everything is a server of each call of two services, none of which does anything.
func everything(srv *grpc.Server) {
	registerv1.RegisterRegisterServiceServer(srv, registerv1.UnimplementedRegisterServiceServer{})
	corev1.RegisterCoreServiceServer(srv, corev1.UnimplementedCoreServiceServer{})
}

// partsOfTheSuite are the names that an authority gives out.
var partsOfTheSuite = []string{
	"register", "core", "arrs", "iif", "devfund", "activity", "payments", "partners", "gateway", "jobs", "client", "all", "stranger",
}

// TestCallers_ReachTheCallsOfTheirRule makes every call of two services by every certificate, without a token: who may call is asked
// for one, and who may not never gets so far.
func TestCallers_ReachTheCallsOfTheirRule(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	address := listenAs(t, ca.Source("register"), everything)
	made := 0
	for _, name := range partsOfTheSuite {
		conn := dialAs(t, address, ca.Source(name))
		for _, rule := range auth.Rules() {
			if !strings.HasPrefix(rule.Method, "/pcnfunding.register.") && !strings.HasPrefix(rule.Method, "/pcnfunding.core.") {
				continue
			}
			made++
			err := call(t.Context(), conn, rule)
			if rule.AllowsCaller(name) {
				requireFault(t, err, codes.Unauthenticated, auth.ReasonTokenMissing)
			} else {
				requireFault(t, err, codes.PermissionDenied, rpc.ReasonCallerNotAllowed)
			}
		}
	}
	require.Greater(t, made, 50*len(partsOfTheSuite), "two services have more calls than that")
}

// call makes a call with an empty request, whatever its shape.
func call(ctx context.Context, conn *grpc.ClientConn, rule auth.MethodRule) error {
	if !rule.ClientStreams && !rule.ServerStreams {
		return conn.Invoke(ctx, rule.Method, &emptypb.Empty{}, &emptypb.Empty{})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, rule.Method)
	if err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return stream.RecvMsg(&emptypb.Empty{})
}

func TestCallers_OfARuleAreFewUnlessNamed(t *testing.T) {
	t.Parallel()
	outside := []string{"gateway", "jobs", "client"}
	for method, services := range map[string][]string{
		corev1.CoreService_CloseMonth_FullMethodName:              nil,
		registerv1.RegisterService_Import_FullMethodName:          nil,
		registerv1.RegisterService_GetSnapshot_FullMethodName:     {"core", "arrs", "iif", "devfund", "activity"},
		registerv1.RegisterService_ListSuccessions_FullMethodName: {"payments"},
		"/pcnfunding.core.v1.CoreService/NoSuchCall":              nil,
	} {
		rule, known := auth.RuleOf(method)
		for _, name := range partsOfTheSuite {
			want := known && (slices.Contains(outside, name) || slices.Contains(services, name))
			require.Equal(t, want, rule.AllowsCaller(name), "%s by %s", method, name)
		}
		require.False(t, rule.AllowsCaller(""), method)
		require.False(t, rule.AllowsCaller("unspecified"), method)
	}
}

func TestCallers_ATokenDoesNotHelp(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	var book logBook
	address := listenAs(t, ca.Source("register"), closing(succeed), func(o *rpc.ServerOptions) { o.Logger = book.logger() })
	ctx := testkit.As(t.Context(), testkit.Preparer("15N"))
	_, err := corev1.NewCoreServiceClient(dialAs(t, address, ca.Source("payments"))).CloseMonth(ctx, validClose())
	f := faultOf(t, err, codes.PermissionDenied, rpc.ReasonCallerNotAllowed)
	require.Equal(t, "payments", f.Meta["caller"])
	require.Contains(t, book.String(), `"msg":"caller refused"`)
	require.Contains(t, book.String(), `"caller":"payments"`)
	_, err = corev1.NewCoreServiceClient(dialAs(t, address, ca.Source("gateway"))).CloseMonth(ctx, validClose())
	require.NoError(t, err)
}

func TestCallers_AProcessThatRunsEverythingCallsItself(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	ctx := testkit.As(t.Context(), testkit.Preparer("15N"))
	for self, want := range map[string]codes.Code{"all": codes.OK, "": codes.PermissionDenied} {
		address := listenAs(t, ca.Source("register"), closing(succeed), func(o *rpc.ServerOptions) { o.Self = self })
		_, err := corev1.NewCoreServiceClient(dialAs(t, address, ca.Source("all"))).CloseMonth(ctx, validClose())
		require.Equal(t, want, status.Code(err))
	}
}

// TestServer_AsksEvenProbesForACertificate tries the health service by those who are turned away in the handshake, and by one who may
// make no call at all.
func TestServer_AsksEvenProbesForACertificate(t *testing.T) {
	t.Parallel()
	ca, foreign := testkit.NewCA(t), testkit.NewCA(t)
	address := listenAs(t, ca.Source("register"), func(srv *grpc.Server) {
		rpc.Health(srv, testkit.Logger(t), nil)
	})
	expired := ca.Certify(t.TempDir(), "gateway", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
	})
	elsewhere := ca.Certify(t.TempDir(), "gateway", func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "elsewhere", Path: "/gateway"}}
	})
	for name, transport := range map[string]credentials.TransportCredentials{
		"no certificate":       credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}),
		"clear text":           insecure.NewCredentials(),
		"foreign authority":    showing(t, foreign.Certify(t.TempDir(), "gateway")),
		"expired":              showing(t, expired),
		"another trust domain": showing(t, elsewhere),
	} {
		require.Equal(t, codes.Unavailable, status.Code(probe(t, address, transport)), name)
	}
	for _, name := range []string{"gateway", "payments", "stranger"} {
		require.NoError(t, probe(t, address, showing(t, ca.Certify(t.TempDir(), name))), name)
	}
}

// showing are credentials that show a certificate without looking at it, and take any server.
func showing(t *testing.T, files certs.Files) credentials.TransportCredentials {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	require.NoError(t, err)
	return credentials.NewTLS(&tls.Config{
		InsecureSkipVerify:   true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	})
}

func probe(t *testing.T, address string, transport credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(transport))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	return err
}

// TestRotation_LosesNoCall changes the authority, and with it every certificate, under clients that call without a pause. Connections
// are closed young, as they are in minutes where nobody waits for a test.
func TestRotation_LosesNoCall(t *testing.T) {
	t.Parallel()
	before, after := testkit.NewCA(t), testkit.NewCA(t)
	serverFiles, clientFiles := before.Certify(t.TempDir(), "register"), before.Certify(t.TempDir(), "gateway")
	var clientSeen, serverSeen sync.Map // serial numbers of certificates
	address := listenAs(t, testkit.OpenCerts(t, serverFiles), closing(
		func(ctx context.Context, _ *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
			p, _ := peer.FromContext(ctx)
			clientSeen.Store(serialOf(p), true)
			return &typev1.PaymentSchedule{}, nil
		}), func(o *rpc.ServerOptions) { o.ConnectionAge = 20 * time.Millisecond })
	client := testkit.OpenCerts(t, clientFiles)

	ctx, stop := context.WithCancel(testkit.As(t.Context(), testkit.Preparer("15N")))
	var made, failed atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		conn := dialAs(t, address, client)
		callers.Go(func() {
			for ctx.Err() == nil {
				var server peer.Peer
				_, err := corev1.NewCoreServiceClient(conn).CloseMonth(ctx, validClose(), grpc.Peer(&server))
				if ctx.Err() != nil {
					return
				}
				made.Add(1)
				if err != nil {
					failed.Add(1)
					t.Errorf("call: %v", err)
					continue
				}
				serverSeen.Store(serialOf(&server), true)
			}
		})
	}
	sees := func(what string, seen *sync.Map, files certs.Files) {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_, ok := seen.Load(pair.Leaf.SerialNumber.String())
			return ok
		}, 30*time.Second, 5*time.Millisecond, what)
	}
	sees("the first certificate of the server", &serverSeen, serverFiles)
	sees("the first certificate of the clients", &clientSeen, clientFiles)
	both := slices.Concat(before.PEM(), after.PEM())
	testkit.WriteFile(t, serverFiles.CA, both)
	testkit.WriteFile(t, clientFiles.CA, both)
	after.Renew(serverFiles, "register")
	sees("the new certificate of the server", &serverSeen, serverFiles)
	after.Renew(clientFiles, "gateway")
	sees("the new certificate of the clients", &clientSeen, clientFiles)
	testkit.WriteFile(t, serverFiles.CA, after.PEM())
	testkit.WriteFile(t, clientFiles.CA, after.PEM())
	require.Error(t, probe(t, address, showing(t, before.Certify(t.TempDir(), "gateway"))), "the authority is withdrawn")
	after.Renew(serverFiles, "register")
	sees("a certificate under the new authority alone", &serverSeen, serverFiles)
	stop()
	callers.Wait()
	require.Zero(t, failed.Load(), "of %d calls", made.Load())
}

// serialOf is the serial number of the certificate of the other side.
func serialOf(p *peer.Peer) string {
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return ""
	}
	return info.State.PeerCertificates[0].SerialNumber.String()
}
