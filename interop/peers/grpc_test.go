package peers_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	data "github.com/cncf/xds/go/xds/data/orca/v3"
	service "github.com/cncf/xds/go/xds/service/orca/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/orca"
)

// grpcCases are those of grpc/interop/client that need no credentials, by the
// names they have there. A case that fails ends the process, with its reason.
var grpcCases = []struct {
	name string
	run  func(ctx context.Context, cc *grpc.ClientConn, dial func() *grpc.ClientConn)
}{
	{"empty_unary", grpcCase(interop.DoEmptyUnaryCall)},
	{"large_unary", grpcCase(interop.DoLargeUnaryCall)},
	{"client_streaming", grpcCase(interop.DoClientStreaming)},
	{"server_streaming", grpcCase(interop.DoServerStreaming)},
	{"ping_pong", grpcCase(interop.DoPingPong)},
	{"empty_stream", grpcCase(interop.DoEmptyStream)},
	{"timeout_on_sleeping_server", grpcCase(interop.DoTimeoutOnSleepingServer)},
	{"cancel_after_begin", grpcCase(interop.DoCancelAfterBegin)},
	{"cancel_after_first_response", grpcCase(interop.DoCancelAfterFirstResponse)},
	{"status_code_and_message", grpcCase(interop.DoStatusCodeAndMessage)},
	{"special_status_message", grpcCase(interop.DoSpecialStatusMessage)},
	{"custom_metadata", grpcCase(interop.DoCustomMetadata)},
	{"unimplemented_method", func(ctx context.Context, cc *grpc.ClientConn, _ func() *grpc.ClientConn) {
		interop.DoUnimplementedMethod(ctx, cc)
	}},
	{"unimplemented_service", func(ctx context.Context, cc *grpc.ClientConn, _ func() *grpc.ClientConn) {
		interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(cc))
	}},
	{"pick_first_unary", func(ctx context.Context, cc *grpc.ClientConn, _ func() *grpc.ClientConn) {
		interop.DoPickFirstUnary(ctx, testgrpc.NewTestServiceClient(cc))
	}},
	{"orca_per_rpc", func(ctx context.Context, cc *grpc.ClientConn, _ func() *grpc.ClientConn) {
		interop.DoORCAPerRPCTest(ctx, testgrpc.NewTestServiceClient(cc))
	}},
	{"orca_oob", func(ctx context.Context, cc *grpc.ClientConn, _ func() *grpc.ClientConn) {
		interop.DoORCAOOBTest(ctx, testgrpc.NewTestServiceClient(cc))
	}},
	{"rpc_soak", func(ctx context.Context, cc *grpc.ClientConn, _ func() *grpc.ClientConn) {
		interop.DoSoakTest(ctx, soak(func() (*grpc.ClientConn, func()) { return cc, func() {} }))
	}},
	{"channel_soak", func(ctx context.Context, _ *grpc.ClientConn, dial func() *grpc.ClientConn) {
		interop.DoSoakTest(ctx, soak(func() (*grpc.ClientConn, func()) {
			cc := dial()
			return cc, func() { cc.Close() }
		}))
	}},
}

func grpcCase(run func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn, func() *grpc.ClientConn) {
	return func(ctx context.Context, cc *grpc.ClientConn, _ func() *grpc.ClientConn) {
		run(ctx, testgrpc.NewTestServiceClient(cc))
	}
}

// soak has the sizes that grpc/interop/client has by default.
func soak(channel func() (*grpc.ClientConn, func())) interop.SoakTestConfig {
	return interop.SoakTestConfig{
		RequestSize:                      271828,
		ResponseSize:                     314159,
		PerIterationMaxAcceptableLatency: timeout,
		OverallTimeout:                   timeout,
		ServerAddr:                       "passthrough:///walve",
		NumWorkers:                       2,
		Iterations:                       10,
		ChannelForTest:                   channel,
	}
}

// namedServer says who it is, which pick_first_unary asks and gRPC's own server
// in Go does not tell.
type namedServer struct{ testgrpc.TestServiceServer }

func (s namedServer) UnaryCall(ctx context.Context, in *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	out, err := s.TestServiceServer.UnaryCall(ctx, in)
	if in.GetFillServerId() && err == nil {
		out.ServerId = "walve"
	}
	return out, err
}

// loadReports is what orca_oob gets its reports from. gRPC's own service makes
// the client wait for each at least 30 s, which only its internals can change.
type loadReports struct {
	service.UnimplementedOpenRcaServiceServer
	metrics orca.ServerMetricsProvider
}

func (s loadReports) StreamCoreMetrics(r *service.OrcaLoadReportRequest, stream service.OpenRcaService_StreamCoreMetricsServer) error {
	interval := time.NewTicker(r.GetReportInterval().AsDuration())
	defer interval.Stop()
	for {
		m := s.metrics.ServerMetrics()
		if err := stream.Send(&data.OrcaLoadReport{
			// Without a value they are -1.
			CpuUtilization: max(m.CPUUtilization, 0),
			MemUtilization: max(m.MemUtilization, 0),
			Utilization:    m.Utilization,
		}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-interval.C:
		}
	}
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, ln *walve.Listener, d *walve.Dialer) {
		metrics := orca.NewServerMetricsRecorder()
		server := grpc.NewServer(orca.CallMetricsServerOption(nil))
		service.RegisterOpenRcaServiceServer(server, loadReports{metrics: metrics})
		testgrpc.RegisterTestServiceServer(server, namedServer{interop.NewTestServer(interop.NewTestServerOptions{MetricsRecorder: metrics})})
		var served sync.WaitGroup
		served.Go(func() {
			if err := server.Serve(ln); err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(func() { server.Stop(); served.Wait() })

		newClient := func() *grpc.ClientConn {
			cc, err := grpc.NewClient("passthrough:///walve",
				grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
					return d.DialContext(ctx, "tcp", addr)
				}),
				// Registered by interop: it hands the reports of orca_per_rpc on.
				grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"test_backend_metrics_load_balancer":{}}]}`))
			if err != nil {
				t.Fatal(err)
			}
			return cc
		}
		cc := newClient()
		defer cc.Close()
		for _, c := range grpcCases {
			t.Run(c.name, func(t *testing.T) { c.run(bound(t), cc, newClient) })
		}
	})
}
