package gateway

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// devfundUploads are the calls of devfund that take a file.
func devfundUploads(devfund devfundv1.DevfundServiceClient) map[protoreflect.FullName]upload {
	return map[protoreflect.FullName]upload{
		"pcnfunding.devfund.v1.DevfundService.ImportNeedWeights": newUpload(devfund.ImportNeedWeights,
			func(h *devfundv1.ImportNeedWeightsHeader) *devfundv1.ImportNeedWeightsRequest {
				return &devfundv1.ImportNeedWeightsRequest{Part: &devfundv1.ImportNeedWeightsRequest_Header{Header: h}}
			},
			func(chunk []byte) *devfundv1.ImportNeedWeightsRequest {
				return &devfundv1.ImportNeedWeightsRequest{Part: &devfundv1.ImportNeedWeightsRequest_Chunk{Chunk: chunk}}
			},
			func(answer *devfundv1.NeedImport) string {
				return "/v1/devfund/years/" + answer.GetFinancialYear() + "/need-check"
			}),
	}
}
