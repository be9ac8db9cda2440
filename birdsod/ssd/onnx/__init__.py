"""Detectors as ONNX: written from any model archive, with numpy and the onnx package alone, and run by ONNX Runtime.

Nothing here loads onnx or ONNX Runtime before it is used, and nothing loads torch.
"""
