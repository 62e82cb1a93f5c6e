"""The door of AWS AI Solution Kit: ``POST /{stage}/image_super_resolution``.

Follows ``shared/contracts/ai_solution_kit.md``; what is answered where the contract is silent
is what API Gateway answers.
"""

from superres.server.dialects.ai_solution_kit.routes import router

__all__ = ["router"]
